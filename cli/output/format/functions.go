package format

import (
	"errors"
	"fmt"
	"text/template"
)

// builtins are the functions that all templates have, but for and and or.
func builtins() map[string]Function {
	return map[string]Function{
		"not":      Of1(func(v any) (any, error) { return !isTrue(v), nil }),
		"len":      Of1(func(v any) (any, error) { return length(v) }),
		"index":    index,
		"slice":    slice,
		"print":    func(args []any) (any, error) { return fmt.Sprint(args...), nil },
		"println":  func(args []any) (any, error) { return fmt.Sprintln(args...), nil },
		"printf":   printf,
		"html":     func(args []any) (any, error) { return template.HTMLEscaper(args...), nil },
		"js":       func(args []any) (any, error) { return template.JSEscaper(args...), nil },
		"urlquery": func(args []any) (any, error) { return template.URLQueryEscaper(args...), nil },
		"call":     func([]any) (any, error) { return nil, errors.New("there are no functions among the values") },
		"eq":       equal,
		"ne":       func(args []any) (any, error) { return different(args) },
		"lt":       order(func(c int) bool { return c < 0 }),
		"le":       order(func(c int) bool { return c <= 0 }),
		"gt":       order(func(c int) bool { return c > 0 }),
		"ge":       order(func(c int) bool { return c >= 0 }),
	}
}

// Of1 is a function of one argument.
func Of1(f func(any) (any, error)) Function {
	return func(args []any) (any, error) {
		if err := Count(args, 1); err != nil {
			return nil, err
		}
		return f(args[0])
	}
}

// Count tells what is wrong where there are not as many arguments as a function takes.
func Count(args []any, want int) error {
	if len(args) != want {
		return fmt.Errorf("wrong number of args: want %d got %d", want, len(args))
	}
	return nil
}

// Arg is an argument as the type that a function takes.
func Arg[T any](args []any, i int) (T, error) {
	value, ok := args[i].(T)
	if !ok {
		return value, fmt.Errorf("wrong type for value; expected %T; got %T", value, args[i])
	}
	return value, nil
}

func printf(args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("wrong number of args: want at least 1 got 0")
	}
	text, err := Arg[string](args, 0)
	return fmt.Sprintf(text, args[1:]...), err
}

func index(args []any) (any, error) {
	if len(args) == 0 || args[0] == nil {
		return nil, errors.New("index of untyped nil")
	}
	value := args[0]
	for _, at := range args[1:] {
		switch v := plain(value).(type) {
		case map[string]any:
			key, ok := plain(at).(string)
			if !ok {
				return nil, fmt.Errorf("value has type %T; should be string", at)
			}
			value = v[key]
		case []any:
			i, err := place(at, len(v)-1)
			if err != nil {
				return nil, err
			}
			value = v[i]
		case string:
			i, err := place(at, len(v)-1)
			if err != nil {
				return nil, err
			}
			value = int(v[i])
		default:
			return nil, fmt.Errorf("can't index item of type %T", value)
		}
	}
	return value, nil
}

// place is a number from 0 to last.
func place(at any, last int) (int, error) {
	i, ok := at.(int)
	if !ok {
		return 0, fmt.Errorf("cannot index slice/array with type %T", at)
	}
	if i < 0 || i > last {
		return 0, fmt.Errorf("index out of range: %d", i)
	}
	return i, nil
}

func slice(args []any) (any, error) {
	if len(args) == 0 || len(args) > 3 {
		return nil, fmt.Errorf("slice of a list or text takes one or two places, not %d", len(args)-1)
	}
	n, err := length(args[0])
	if err != nil {
		return nil, fmt.Errorf("can't slice item of type %T", args[0])
	}
	ends := [2]int{0, n}
	for i, at := range args[1:] {
		if ends[i], err = place(at, n); err != nil {
			return nil, err
		}
	}
	if ends[0] > ends[1] {
		return nil, fmt.Errorf("invalid slice index: %d > %d", ends[0], ends[1])
	}
	switch v := plain(args[0]).(type) {
	case string:
		return v[ends[0]:ends[1]], nil
	case []any:
		return v[ends[0]:ends[1]], nil
	default:
		return nil, fmt.Errorf("can't slice item of type %T", args[0])
	}
}
