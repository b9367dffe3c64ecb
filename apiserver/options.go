package apiserver

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
)

// queryOptions are the objects that clients of subresources write as a URL's query.
var queryOptions = []runtime.Object{
	&corev1.PodLogOptions{}, &corev1.PodExecOptions{}, &corev1.PodAttachOptions{}, &corev1.PodPortForwardOptions{},
	&corev1.PodProxyOptions{}, &corev1.NodeProxyOptions{}, &corev1.ServiceProxyOptions{},
}

// addQueryOptions teaches a scheme to read them.
func addQueryOptions(s *runtime.Scheme) error {
	for _, example := range queryOptions {
		err := s.AddConversionFunc((*url.Values)(nil), example, func(in, out any, _ conversion.Scope) error {
			return decodeQuery(*in.(*url.Values), reflect.ValueOf(out).Elem())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeQuery sets the fields of a struct from the values of their JSON names.
func decodeQuery(q url.Values, out reflect.Value) error {
	for i := range out.NumField() {
		name, _, _ := strings.Cut(out.Type().Field(i).Tag.Get("json"), ",")
		texts, given := q[name]
		if name == "" || !given || len(texts) == 0 {
			continue
		}
		if err := setField(out.Field(i), texts); err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	return nil
}

func setField(field reflect.Value, texts []string) error {
	switch field.Kind() {
	case reflect.Pointer:
		if texts[0] == "" {
			return nil
		}
		value := reflect.New(field.Type().Elem())
		field.Set(value)
		if t, ok := value.Interface().(*metav1.Time); ok {
			return t.UnmarshalQueryParameter(texts[0])
		}
		return setField(value.Elem(), texts)
	case reflect.Slice:
		list := reflect.MakeSlice(field.Type(), len(texts), len(texts))
		for i := range texts {
			if err := setField(list.Index(i), texts[i:i+1]); err != nil {
				return err
			}
		}
		field.Set(list)
	case reflect.String:
		field.SetString(texts[0])
	case reflect.Bool:
		// As upstream: given without a value it is true.
		field.SetBool(texts[0] == "" || texts[0] != "false" && texts[0] != "0")
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(texts[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", texts[0])
		}
		field.SetInt(n)
	default:
		return fmt.Errorf("a field of kind %s cannot be read from a query", field.Kind())
	}
	return nil
}
