// Package format runs the Go templates of --format on what is decoded of JSON: maps, lists, texts, truths and nothing. text/template
// can call any method of anything, for which the linker keeps all methods of all types: a sixth of the small program.
// Templates are parsed by text/template/parse, and the tests hold what they print against text/template.
package format

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/template/parse"
)

// Object is a value with fields that is not a map[string]any; a field may take arguments.
type Object interface {
	Field(name string, args []any) (any, error)
	Map() map[string]any
}

// Function is what a template calls by name.
type Function func(args []any) (any, error)

// Template is a parsed format.
type Template struct {
	trees     map[string]*parse.Tree
	functions map[string]Function
}

// Parse reads a template, which may call the functions beside those that all templates have.
func Parse(text string, functions map[string]Function) (*Template, error) {
	t := &Template{functions: builtins()}
	maps.Copy(t.functions, functions)
	names := map[string]any{"and": true, "or": true}
	for name := range t.functions {
		names[name] = true
	}
	var err error
	t.trees, err = parse.Parse("", text, "", "", names)
	return t, err
}

// Execute writes the template, filled in with data.
func (t *Template) Execute(w io.Writer, data any) error {
	return t.run(w, "", data, 0)
}

// deepest is how deep templates may call each other.
const deepest = 1000

func (t *Template) run(w io.Writer, name string, data any, depth int) error {
	tree := t.trees[name]
	if tree == nil {
		return fmt.Errorf("template %q not defined", name)
	}
	if depth > deepest {
		return fmt.Errorf("template %q calls itself without end", name)
	}
	if tree.Root == nil {
		return nil
	}
	s := &state{Template: t, w: w, depth: depth, variables: []variable{{"$", data}}}
	return s.walk(data, tree.Root)
}

type variable struct {
	name  string
	value any
}

// state is a template that is being executed. The last variable of a name is the one that is meant.
type state struct {
	*Template
	w         io.Writer
	depth     int
	variables []variable
}

// How a body ends that does not come to its end.
var (
	errBreak    = errors.New("break outside of range")
	errContinue = errors.New("continue outside of range")
)

func (s *state) walk(dot any, node parse.Node) error {
	switch n := node.(type) {
	case *parse.ListNode:
		return s.all(dot, n)
	case *parse.TextNode:
		_, err := s.w.Write(n.Text)
		return err
	case *parse.ActionNode:
		value, err := s.pipeline(dot, n.Pipe)
		if err == nil && len(n.Pipe.Decl) == 0 {
			_, err = io.WriteString(s.w, printed(value))
		}
		return located(n, err)
	case *parse.IfNode:
		return s.branch(dot, &n.BranchNode, func(any) error { return s.walk(dot, n.List) })
	case *parse.WithNode:
		return s.branch(dot, &n.BranchNode, func(value any) error { return s.walk(value, n.List) })
	case *parse.RangeNode:
		return s.repeat(dot, n)
	case *parse.TemplateNode:
		value, err := s.pipeline(dot, n.Pipe)
		if err != nil {
			return located(n, err)
		}
		return s.run(s.w, n.Name, value, s.depth+1)
	case *parse.BreakNode:
		return errBreak
	case *parse.ContinueNode:
		return errContinue
	default: // comments
		return nil
	}
}

func located(n parse.Node, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	return nil
}

func (s *state) all(dot any, list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		if err := s.walk(dot, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) branch(dot any, n *parse.BranchNode, then func(value any) error) error {
	defer s.forget(len(s.variables))
	value, err := s.pipeline(dot, n.Pipe)
	if err != nil {
		return located(n.Pipe, err)
	}
	if isTrue(value) {
		return then(value)
	}
	return s.all(dot, n.ElseList)
}

func (s *state) forget(from int) { s.variables = s.variables[:from] }

func (s *state) repeat(dot any, n *parse.RangeNode) error {
	defer s.forget(len(s.variables))
	value, err := s.pipeline(dot, n.Pipe)
	if err != nil {
		return located(n.Pipe, err)
	}
	keys, elements, err := each(value)
	if err != nil {
		return located(n.Pipe, err)
	}
	if len(elements) == 0 {
		return s.all(dot, n.ElseList)
	}
	mark := len(s.variables)
	for i, element := range elements {
		s.iteration(n.Pipe, keys[i], element)
		err := s.walk(element, n.List)
		s.forget(mark)
		switch {
		case errors.Is(err, errBreak):
			return nil
		case err != nil && !errors.Is(err, errContinue):
			return err
		}
	}
	return nil
}

// iteration gives the variables of a range their values: the element, or the key and the element.
func (s *state) iteration(pipe *parse.PipeNode, key, element any) {
	values := []any{element}
	if len(pipe.Decl) > 1 {
		values = []any{key, element}
	}
	for i, decl := range pipe.Decl {
		s.assign(decl.Ident[0], values[i])
	}
}

// assign changes the variable; pipeline has declared it.
func (s *state) assign(name string, value any) {
	for i, v := range slices.Backward(s.variables) {
		if v.name == name {
			s.variables[i].value = value
			return
		}
	}
}
