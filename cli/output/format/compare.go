package format

import (
	"cmp"
	"errors"
	"fmt"
)

// equal tells whether the first argument is one of the others.
func equal(args []any) (any, error) {
	if len(args) < 2 {
		return nil, errors.New("missing argument for comparison")
	}
	for _, other := range args[1:] {
		same, err := alike(plain(args[0]), plain(other))
		if err != nil || same {
			return same, err
		}
	}
	return false, nil
}

func different(args []any) (any, error) {
	if err := Count(args, 2); err != nil {
		return nil, err
	}
	same, err := alike(plain(args[0]), plain(args[1]))
	return !same, err
}

func alike(a, b any) (bool, error) {
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	if fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		return false, fmt.Errorf("incompatible types for comparison: %T and %T", a, b)
	}
	switch a.(type) {
	case []any, map[string]any:
		return false, fmt.Errorf("non-comparable type %T", a)
	}
	return a == b, nil
}

// order compares two numbers or two texts.
func order(holds func(int) bool) Function {
	return func(args []any) (any, error) {
		if err := Count(args, 2); err != nil {
			return nil, err
		}
		switch a := plain(args[0]).(type) {
		case string:
			if b, ok := plain(args[1]).(string); ok {
				return holds(cmp.Compare(a, b)), nil
			}
		case int:
			if b, ok := args[1].(int); ok {
				return holds(cmp.Compare(a, b)), nil
			}
		case float64:
			if b, ok := args[1].(float64); ok {
				return holds(cmp.Compare(a, b)), nil
			}
		}
		return nil, fmt.Errorf("incompatible types for comparison: %T and %T", args[0], args[1])
	}
}
