package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Error is something wrong at a place in a Dockerfile.
type Error struct {
	File   string
	Source []byte
	// First and Last are lines, counted from 1; 0: nowhere in particular. Column is that of what is wrong in the first.
	First, Last, Column int
	Err                 error
}

func (e *Error) Error() string {
	if e.First == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.First, e.Column, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// around is how many lines an excerpt shows before and after those in question.
const around = 3

// Excerpt shows the lines in question among their neighbours, as buildkit does; empty if it is about none.
func (e *Error) Excerpt() string {
	if e.First == 0 {
		return ""
	}
	lines := strings.Split(string(e.Source), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d\n--------------------\n", e.File, e.First)
	for n := max(e.First-around, 1); n <= min(e.Last+around, len(lines)); n++ {
		mark := "   "
		if n >= e.First && n <= e.Last {
			mark = ">>>"
		}
		fmt.Fprintf(&b, " %3d | %s %s\n", n, mark, strings.TrimRight(lines[n-1], "\r"))
	}
	b.WriteString("--------------------\n")
	return b.String()
}

// At says that an error belongs to the instruction at a place. An error that has a place already keeps it.
func (f *File) At(location []parser.Range, err error) error {
	if err == nil || errors.As(err, new(*Error)) {
		return err
	}
	e := &Error{File: f.Name, Source: f.Source, Err: err}
	if len(location) > 0 {
		e.First, e.Last = location[0].Start.Line, location[len(location)-1].End.Line
		e.Column = column(f.Source, e.First, e.Last, err)
	}
	return e
}

var (
	onLine   = regexp.MustCompile(`(?:dockerfile parse error )?on line (\d+): `)
	quoted   = regexp.MustCompile("[\"'`]([^\"'`\n]+)[\"'`]")
	unknown  = regexp.MustCompile(`(?:unknown instruction|unknown flag|missing variable): (\S+)`)
	theLine  = "dockerfile parse error "
	noSuffix = " (did you mean"
)

// explain turns the parser's errors into ours.
func (f *File) explain(err error) error {
	var at *parser.LocationError
	message := err.Error()
	message = strings.TrimPrefix(message, theLine)
	message = onLine.ReplaceAllString(message, "")
	plain := errors.New(message)
	if errors.As(err, &at) && len(at.Locations) > 0 {
		return f.At(at.Locations[0], plain)
	}
	return &Error{File: f.Name, Source: f.Source, Err: plain}
}

// column finds the word that an error speaks of in the lines in question; else it is where the instruction begins.
func column(source []byte, first, last int, err error) int {
	lines := bytes.Split(source, []byte("\n"))
	if first < 1 || first > len(lines) {
		return 1
	}
	line := lines[first-1]
	for _, pattern := range []*regexp.Regexp{unknown, quoted} {
		for _, m := range pattern.FindAllStringSubmatch(strings.Split(err.Error(), noSuffix)[0], -1) {
			if at := bytes.Index(bytes.ToLower(line), []byte(strings.ToLower(m[1]))); at >= 0 {
				return at + 1
			}
		}
	}
	return len(line) - len(bytes.TrimLeft(line, " \t")) + 1
}
