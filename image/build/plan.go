package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"golang.org/x/sync/errgroup"

	"dhow/image/build/dockerfile"
)

// stage is one FROM and what follows it.
type stage struct {
	instructions.Stage
	index    int
	base     string // the image, if from is nil
	from     *stage
	platform string
	title    string

	once sync.Once
	done chan struct{}
	made *state // once done is closed; nil if it failed
}

// plan reads the Dockerfile and finds out what each stage begins with.
func (w *work) plan() error {
	check := ""
	if given := w.Args["BUILDKIT_DOCKERFILE_CHECK"]; given != nil {
		check = *given
	}
	file, err := dockerfile.Parse(w.Name, w.Dockerfile, check)
	if err != nil {
		return err
	}
	w.file = file
	if w.globals, err = w.globalArgs(); err != nil {
		return err
	}
	for i := range file.Stages {
		s := &stage{Stage: file.Stages[i], index: i, done: make(chan struct{})}
		if err := w.planStage(s); err != nil {
			return file.At(s.Location, err)
		}
		w.stages = append(w.stages, s)
	}
	return nil
}

// globalArgs are the ARGs before the first FROM, and the platforms.
func (w *work) globalArgs() (*vars, error) {
	known := platformVars(w.Platform)
	lex := w.file.Lex()
	for _, command := range w.file.Args {
		for _, arg := range command.Args { // each may speak of those before it
			if given, ok := w.Args[arg.Key]; ok && given != nil {
				known.set(arg.Key, *given)
				continue
			}
			if arg.Value == nil {
				continue
			}
			value, _, err := lex.ProcessWord(*arg.Value, known)
			if err != nil {
				return nil, w.file.At(command.Location(), err)
			}
			known.set(arg.Key, value)
		}
	}
	return known, nil
}

func (w *work) planStage(s *stage) error {
	lex := w.file.Lex()
	name, _, err := lex.ProcessWord(s.BaseName, w.globals)
	if err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("base name (%s) should not be blank: give its ARG a value", s.BaseName)
	}
	if s.platform, _, err = lex.ProcessWord(s.Platform, w.globals); err != nil {
		return err
	}
	if s.Platform != "" && s.platform == "" {
		return fmt.Errorf("--platform=%s is empty: give its ARG a value", s.Platform)
	}
	if s.platform == "" {
		s.platform = w.Platform
	}
	s.base, s.title = name, s.Name
	if s.title == "" {
		s.title = "stage-" + strconv.Itoa(s.index)
	}
	for _, earlier := range w.stages {
		if w.isNamed(name) {
			break
		}
		if earlier.Name != "" && strings.EqualFold(earlier.Name, name) {
			s.from, s.base = earlier, ""
		}
	}
	return nil
}

// find gives the stage of a name or number, among those before one.
func (w *work) find(name string, before int) *stage {
	for _, s := range slices.Backward(w.stages[:before]) {
		if s.Name != "" && strings.EqualFold(s.Name, name) {
			return s
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < before {
		return w.stages[n]
	}
	return nil
}

// target is the stage that the user wants.
func (w *work) target() (*stage, error) {
	if w.Target == "" {
		return w.stages[len(w.stages)-1], nil
	}
	if s := w.find(w.Target, len(w.stages)); s != nil {
		return s, nil
	}
	var names []string
	for _, s := range w.stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return nil, fmt.Errorf("target stage %q could not be found in %s (there are: %s)", w.Target, w.Name, strings.Join(names, ", "))
}

// needs lists the stages that a stage begins with or copies from.
func (w *work) needs(s *stage) []*stage {
	var all []*stage
	if s.from != nil {
		all = append(all, s.from)
	}
	for _, command := range s.Commands {
		for _, name := range sources(command) {
			if w.isNamed(name) {
				continue
			}
			if other := w.find(name, s.index); other != nil {
				all = append(all, other)
			}
		}
	}
	return all
}

// sources are the stages or images that an instruction reads.
func sources(command instructions.Command) []string {
	switch c := command.(type) {
	case *instructions.CopyCommand:
		if c.From != "" {
			return []string{c.From}
		}
	case *instructions.RunCommand:
		var all []string
		for _, m := range instructions.GetMounts(c) {
			if m.From != "" {
				all = append(all, m.From)
			}
		}
		return all
	}
	return nil
}

// starter starts what is done beside one another.
type starter interface{ Go(func() error) }

// run builds the wanted stage and those that it needs, as many at once as there are processors.
func (w *work) run(ctx context.Context) (*state, error) {
	last, err := w.target()
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	w.group = group
	w.start(ctx, last)
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return last.made, nil
}

// start begins a stage, and first those that it needs.
func (w *work) start(ctx context.Context, s *stage) {
	s.once.Do(func() {
		for _, other := range w.needs(s) {
			w.start(ctx, other)
		}
		w.group.Go(func() error {
			defer close(s.done)
			made, err := w.build(ctx, s)
			s.made = made
			return err
		})
	})
}

var errOther = errors.New("another step failed")

// wait gives what a stage has made, once it has.
func (w *work) wait(ctx context.Context, s *stage) (*state, error) {
	w.start(ctx, s) // a trigger of a base image may need one that nobody else does
	select {
	case <-s.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s.made == nil {
		return nil, errOther
	}
	return s.made, nil
}
