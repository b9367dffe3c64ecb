package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"dhow/cli/output/format"
)

// functions are docker's.
func functions() map[string]format.Function {
	return map[string]format.Function{
		"json":     format.Of1(asJSON),
		"join":     join,
		"split":    split,
		"title":    ofText(func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }),
		"lower":    ofText(strings.ToLower),
		"upper":    ofText(strings.ToUpper),
		"pad":      pad,
		"truncate": truncate,
	}
}

func ofText(f func(string) string) format.Function {
	return func(args []any) (any, error) {
		if err := format.Count(args, 1); err != nil {
			return nil, err
		}
		s, err := format.Arg[string](args, 0)
		return f(s), err
	}
}

func asJSON(v any) (any, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	err := out.Encode(v)
	return strings.TrimSpace(b.String()), err
}

// join takes lists of texts and the lists of a decoded JSON.
func join(args []any) (any, error) {
	if err := format.Count(args, 2); err != nil {
		return nil, err
	}
	separator, err := format.Arg[string](args, 1)
	if err != nil {
		return nil, err
	}
	switch all := args[0].(type) {
	case []string:
		return strings.Join(all, separator), nil
	case []any:
		texts := make([]string, len(all))
		for i, v := range all {
			texts[i] = fmt.Sprint(v)
		}
		return strings.Join(texts, separator), nil
	default:
		return nil, fmt.Errorf("join of %T", args[0])
	}
}

func split(args []any) (any, error) {
	if err := format.Count(args, 2); err != nil {
		return nil, err
	}
	s, err := format.Arg[string](args, 0)
	if err != nil {
		return nil, err
	}
	separator, err := format.Arg[string](args, 1)
	return strings.Split(s, separator), err
}

// pad puts spaces before and after a text, and none around nothing.
func pad(args []any) (any, error) {
	if err := format.Count(args, 3); err != nil {
		return nil, err
	}
	s, err := format.Arg[string](args, 0)
	if err != nil || s == "" {
		return s, err
	}
	before, err := amount(args, 1)
	if err != nil {
		return nil, err
	}
	after, err := amount(args, 2)
	return strings.Repeat(" ", before) + s + strings.Repeat(" ", after), err
}

func truncate(args []any) (any, error) {
	if err := format.Count(args, 2); err != nil {
		return nil, err
	}
	s, err := format.Arg[string](args, 0)
	if err != nil {
		return nil, err
	}
	n, err := amount(args, 1)
	return string([]rune(s)[:min(n, len([]rune(s)))]), err
}

// amount is a number of characters.
func amount(args []any, i int) (int, error) {
	n, err := format.Arg[int](args, i)
	if err == nil && (n < 0 || n > 1<<20) {
		return 0, fmt.Errorf("%d is not a number of characters", n)
	}
	return n, err
}
