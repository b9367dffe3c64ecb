// Package dockerfile reads Dockerfiles with buildkit's parser, and tells where in them something is wrong. It builds
// nothing.
package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// File is a Dockerfile that has been read.
type File struct {
	Name   string
	Source []byte
	// Args are the ARGs before the first FROM.
	Args   []instructions.ArgCommand
	Stages []instructions.Stage
	// Warnings are buildkit's lint, a line each.
	Warnings []string
	escape   rune
	warned   []parser.Range // where the first warning is
}

// sizeMost bounds a Dockerfile.
const sizeMost = 4 << 20

// Parse reads a Dockerfile; name is for messages, check what is to be used in place of its "# check=" line, if not empty.
// What is wrong with it is told by an *Error.
func Parse(name string, source []byte, check string) (*File, error) {
	f := &File{Name: name, Source: source}
	if len(source) > sizeMost {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, sizeMost>>20)
	}
	result, err := parser.Parse(bytes.NewReader(source))
	if err != nil {
		return nil, f.explain(err)
	}
	f.escape = result.EscapeToken
	if err := f.checkFrontend(); err != nil {
		return nil, err
	}
	lint, err := f.linter(check)
	if err != nil {
		return nil, err
	}
	f.Stages, f.Args, err = instructions.Parse(result.AST, lint)
	if err != nil {
		return nil, f.explain(err)
	}
	if err := lint.Error(); err != nil {
		return nil, f.At(f.warned, err)
	}
	if len(f.Stages) == 0 {
		return nil, &Error{File: f.Name, Source: source, Err: errors.New("no build stage: it has no FROM")}
	}
	return f, nil
}

// frontend is what "# syntax=" may name: Docker's own language, which is the one that is read here.
var frontend = regexp.MustCompile(`^(docker\.io/)?(docker/dockerfile|docker/dockerfile-upstream)([:@].*)?$`)

func (f *File) checkFrontend() error {
	name, _, location, given := parser.DetectSyntax(f.Source)
	if !given || frontend.MatchString(name) {
		return nil
	}
	return f.At(location, fmt.Errorf("# syntax=%s: other frontends than docker/dockerfile are not run", name))
}

// linter is buildkit's, as "# check=skip=RULE,…;error=true" wants it.
func (f *File) linter(check string) (*linter.Linter, error) {
	var location []parser.Range
	if check == "" {
		_, check, location, _ = parser.ParseDirective("check", f.Source)
	}
	config, err := linter.ParseLintOptions(check)
	if err != nil {
		return nil, f.At(location, fmt.Errorf("# check=%s: %w", check, err))
	}
	config.Warn = func(rule, _, _, message string, location []parser.Range) {
		if len(f.Warnings) == 0 {
			f.warned = location
		}
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s: %s%s", rule, message, lineOf(location)))
	}
	return linter.New(config), nil
}

func lineOf(location []parser.Range) string {
	if len(location) == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", location[0].Start.Line)
}

// Lex expands variables as this Dockerfile's escape directive wants it.
func (f *File) Lex() *shell.Lex { return shell.NewLex(f.escape) }

// Trigger parses one ONBUILD instruction of a base image.
func Trigger(text string) (instructions.Command, error) {
	result, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("ONBUILD %s: %w", text, err)
	}
	if len(result.AST.Children) != 1 {
		return nil, fmt.Errorf("ONBUILD %s: it is not one instruction", text)
	}
	command, err := instructions.ParseCommand(result.AST.Children[0])
	if err != nil {
		return nil, fmt.Errorf("ONBUILD %s: %w", text, err)
	}
	return command, nil
}
