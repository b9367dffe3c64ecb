package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// field is one of a value's, with the arguments that it is given.
func field(value any, name string, args []any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, fmt.Errorf("nil pointer evaluating .%s", name)
	case Object:
		return v.Field(name, args)
	case map[string]any:
		if len(args) > 0 {
			return nil, fmt.Errorf("%s has arguments but is not a function", name)
		}
		if got, ok := v[name]; ok {
			return got, nil
		}
		return nil, fmt.Errorf("map has no entry for key %q", name)
	default:
		return nil, fmt.Errorf("can't evaluate field %s in %T", name, value)
	}
}

// plain is a value as one of few types: a map[string]any, a []any, a string, a number, a bool or nil.
func plain(value any) any {
	switch v := value.(type) {
	case Object:
		return v.Map()
	case []string:
		list := make([]any, len(v))
		for i, text := range v {
			list[i] = text
		}
		return list
	case json.Number: // texts, as they are in docker's templates
		return v.String()
	default:
		return value
	}
}

// isTrue: what is not zero, false, empty or nothing is true.
func isTrue(value any) bool {
	switch v := plain(value).(type) {
	case nil:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	default:
		n, err := length(v)
		return err != nil || n > 0
	}
}

func length(value any) (int, error) {
	switch v := plain(value).(type) {
	case string:
		return len(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	default:
		return 0, fmt.Errorf("len of type %T", value)
	}
}

// each is what range goes over: the elements of lists, of maps in the order of their keys, and the numbers below one.
func each(value any) (keys, elements []any, err error) {
	switch v := plain(value).(type) {
	case nil:
	case []any:
		for i, element := range v {
			keys, elements = append(keys, i), append(elements, element)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			keys, elements = append(keys, key), append(elements, v[key])
		}
	case int:
		for i := range max(v, 0) {
			keys, elements = append(keys, i), append(elements, i)
		}
	default:
		return nil, nil, fmt.Errorf("range can't iterate over %v", value)
	}
	return keys, elements, nil
}

func printed(value any) string {
	if value == nil {
		return "<no value>"
	}
	return fmt.Sprint(value)
}
