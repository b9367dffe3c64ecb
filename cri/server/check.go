package server

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkMessage fails for what no request may have anywhere: enumeration values that this version of CRI does not know,
// strings with a null byte, which no path, name or variable of the kernel's can have.
func checkMessage(m proto.Message) error {
	if m == nil {
		return nil
	}
	return checkFields(m.ProtoReflect(), "")
}

func checkFields(m protoreflect.Message, path string) (failed error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := path + string(f.Name())
		switch {
		case f.IsList():
			for i := range v.List().Len() {
				if failed = checkValue(f, v.List().Get(i), fmt.Sprintf("%s[%d]", at, i)); failed != nil {
					return false
				}
			}
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				failed = checkValue(f.MapKey(), k.Value(), at)
				if failed == nil {
					failed = checkValue(f.MapValue(), v, fmt.Sprintf("%s[%s]", at, k))
				}
				return failed == nil
			})
		default:
			failed = checkValue(f, v, at)
		}
		return failed == nil
	})
	return failed
}

func checkValue(f protoreflect.FieldDescriptor, v protoreflect.Value, at string) error {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return checkFields(v.Message(), at+".")
	case protoreflect.EnumKind:
		if f.Enum().Values().ByNumber(v.Enum()) == nil {
			return invalid("%s: unknown value %d", at, v.Enum())
		}
	case protoreflect.StringKind:
		if strings.ContainsRune(v.String(), 0) {
			return invalid("%s: it contains a null byte", at)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// idFields are those that name a pod or container.
var idFields = []protoreflect.Name{"pod_sandbox_id", "container_id"}

// checkID fails for requests about something that leave open about what. Those with a filter are about everything.
func checkID(m proto.Message) error {
	if m == nil {
		return nil
	}
	for _, name := range idFields {
		if f := m.ProtoReflect().Descriptor().Fields().ByName(name); f != nil && m.ProtoReflect().Get(f).String() == "" {
			return missing(string(name))
		}
	}
	return nil
}

// checkSeconds is for times that requests give.
func checkSeconds(field string, seconds int64) error {
	const most = math.MaxInt64 / int64(2*time.Second)
	if seconds < 0 || seconds > most {
		return invalid("%s: %d is not a number of seconds from 0 to %d", field, seconds, most)
	}
	return nil
}

// checkPort is for ports of TCP and UDP; zero is for none, where that may be.
func checkPort(field string, port, lowest int32) error {
	if port < lowest || port > math.MaxUint16 {
		return invalid("%s: %d is not a port from %d to 65535", field, port, lowest)
	}
	return nil
}
