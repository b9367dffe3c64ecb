package format

import (
	"errors"
	"fmt"
	"slices"
	"text/template/parse"
)

// pipeline runs commands, each with what the one before has made as its last argument.
func (s *state) pipeline(dot any, pipe *parse.PipeNode) (value any, err error) {
	if pipe == nil {
		return nil, nil
	}
	var piped []any
	for _, command := range pipe.Cmds {
		if value, err = s.command(dot, command, piped); err != nil {
			return nil, err
		}
		piped = []any{value}
	}
	for _, decl := range pipe.Decl {
		if pipe.IsAssign {
			s.assign(decl.Ident[0], value)
		} else {
			s.variables = append(s.variables, variable{decl.Ident[0], value})
		}
	}
	return value, nil
}

func (s *state) command(dot any, command *parse.CommandNode, piped []any) (any, error) {
	first, rest := command.Args[0], command.Args[1:]
	if name, ok := first.(*parse.IdentifierNode); ok {
		return s.call(dot, name.Ident, rest, piped)
	}
	var receiver any
	var fields []string
	var err error
	switch n := first.(type) {
	case *parse.FieldNode:
		receiver, fields = dot, n.Ident
	case *parse.VariableNode:
		fields = n.Ident[1:]
		receiver, err = s.variable(n.Ident[0])
	case *parse.ChainNode:
		fields = n.Field
		receiver, err = s.argument(dot, n.Node)
	case *parse.NilNode:
		err = errors.New("nil is not a command")
	default:
		receiver, err = s.argument(dot, first)
	}
	if err != nil {
		return nil, err
	}
	args, err := s.arguments(dot, rest, piped)
	if err != nil {
		return nil, err
	}
	return fieldOf(receiver, fields, args, first)
}

// fieldOf follows a chain of fields; the last of them gets the arguments.
func fieldOf(value any, fields []string, args []any, what parse.Node) (_ any, err error) {
	if len(fields) == 0 && len(args) > 0 {
		return nil, fmt.Errorf("can't give argument to non-function %s", what)
	}
	for i, name := range fields {
		var given []any
		if i == len(fields)-1 {
			given = args
		}
		if value, err = field(value, name, given); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// call calls a function. and and or evaluate no more arguments than they need.
func (s *state) call(dot any, name string, nodes []parse.Node, piped []any) (any, error) {
	if name != "and" && name != "or" || s.functions[name] != nil {
		args, err := s.arguments(dot, nodes, piped)
		if err != nil {
			return nil, err
		}
		value, err := s.functions[name](args)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return value, nil
	}
	if len(nodes)+len(piped) == 0 {
		return nil, fmt.Errorf("%s: wrong number of args: want at least 1 got 0", name)
	}
	var value any
	var err error
	for _, n := range nodes {
		if value, err = s.argument(dot, n); err != nil || isTrue(value) == (name == "or") {
			return value, err
		}
	}
	if len(piped) > 0 {
		value = piped[0]
	}
	return value, nil
}

func (s *state) arguments(dot any, nodes []parse.Node, piped []any) ([]any, error) {
	var args []any
	for _, n := range nodes {
		value, err := s.argument(dot, n)
		if err != nil {
			return nil, err
		}
		args = append(args, value)
	}
	return append(args, piped...), nil
}

func (s *state) argument(dot any, node parse.Node) (any, error) {
	switch n := node.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.NilNode:
		return nil, nil
	case *parse.BoolNode:
		return n.True, nil
	case *parse.StringNode:
		return n.Text, nil
	case *parse.NumberNode:
		return number(n)
	case *parse.PipeNode:
		return s.pipeline(dot, n)
	case *parse.IdentifierNode:
		return s.call(dot, n.Ident, nil, nil)
	case *parse.FieldNode, *parse.VariableNode, *parse.ChainNode:
		return s.command(dot, &parse.CommandNode{Args: []parse.Node{n}}, nil)
	default:
		return nil, fmt.Errorf("%s is not a value", node)
	}
}

func number(n *parse.NumberNode) (any, error) {
	switch {
	case n.IsInt:
		return int(n.Int64), nil
	case n.IsFloat:
		return n.Float64, nil
	default:
		return nil, fmt.Errorf("%s overflows int", n.Text)
	}
}

func (s *state) variable(name string) (any, error) {
	for _, v := range slices.Backward(s.variables) {
		if v.name == name {
			return v.value, nil
		}
	}
	return nil, fmt.Errorf("undefined variable: %s", name)
}
