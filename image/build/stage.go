package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"dhow/image/build/dockerfile"
	"dhow/image/build/show"
	"dhow/internal/rootfs"
)

// build does the instructions of a stage, one after another.
func (w *work) build(ctx context.Context, s *stage) (*state, error) {
	now, err := w.begin(ctx, s)
	if err != nil {
		return nil, w.file.At(s.Location, err)
	}
	triggers, err := takeTriggers(now)
	if err != nil {
		return nil, w.file.At(s.Location, err)
	}
	steps := &numbering{stage: s, of: 1 + visible(triggers) + visible(s.Commands), many: len(w.stages) > 1}
	shown := w.Display.Step(steps.title("FROM " + s.BaseName))
	shown.End(nil)
	for _, command := range triggers {
		if err := w.do(ctx, s, now, command, steps); err != nil {
			return nil, w.file.At(s.Location, err)
		}
	}
	for _, command := range s.Commands {
		if err := w.do(ctx, s, now, command, steps); err != nil {
			return nil, w.file.At(command.Location(), err)
		}
	}
	return now, nil
}

// begin is the state that a stage begins with.
func (w *work) begin(ctx context.Context, s *stage) (*state, error) {
	if n, isNamed, err := w.named(ctx, s.base); isNamed {
		if err != nil {
			return nil, err
		}
		return w.namedState(ctx, s, n)
	}
	if s.from == nil {
		return w.image(ctx, s.base, s.platform)
	}
	made, err := w.wait(ctx, s.from)
	if err != nil {
		return nil, err
	}
	return made.clone(), nil
}

// takeTriggers takes what ONBUILD has left in a base image out of its configuration.
func takeTriggers(s *state) ([]instructions.Command, error) {
	var all []instructions.Command
	for _, text := range s.spec.Config.OnBuild {
		command, err := dockerfile.Trigger(text)
		if err != nil {
			return nil, err
		}
		all = append(all, command)
	}
	s.spec.Config.OnBuild = nil
	return all, nil
}

// numbering counts the steps of a stage that users see.
type numbering struct {
	stage *stage
	n, of int
	many  bool
}

func (n *numbering) title(text string) string {
	n.n++
	place := fmt.Sprintf("%*d/%d", len(fmt.Sprint(n.of)), n.n, n.of)
	if n.many {
		place = n.stage.title + " " + place
	}
	return "[" + place + "] " + strings.Join(strings.Fields(text), " ")
}

// visible counts the instructions that make layers.
func visible(all []instructions.Command) (count int) {
	for _, command := range all {
		switch command.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand, *instructions.WorkdirCommand:
			count++
		}
	}
	return count
}

// do does one instruction.
func (w *work) do(ctx context.Context, s *stage, now *state, command instructions.Command, steps *numbering) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := w.expand(now, command); err != nil {
		return err
	}
	switch c := command.(type) {
	case *instructions.RunCommand:
		return w.doRun(ctx, s, now, c, steps)
	case *instructions.CopyCommand:
		return w.doCopy(ctx, s, now, copying(c), steps)
	case *instructions.AddCommand:
		return w.doCopy(ctx, s, now, adding(c), steps)
	case *instructions.WorkdirCommand:
		return w.doWorkdir(ctx, s, now, c, steps)
	case *instructions.ArgCommand:
		return w.doArg(now, c)
	default:
		return configure(now, command)
	}
}

// expand replaces variables where the instruction has them replaced. What it changes belongs to one stage, which is
// built once.
func (w *work) expand(now *state, command instructions.Command) error {
	lex, known := w.file.Lex(), now.known()
	if c, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		err := c.Expand(func(word string) (string, error) {
			out, _, err := lex.ProcessWord(word, known)
			return out, err
		})
		if err != nil {
			return err
		}
	}
	if c, ok := command.(*instructions.ExposeCommand); ok {
		var ports []string
		for _, p := range c.Ports { // one variable may stand for several
			words, err := lex.ProcessWords(p, known)
			if err != nil {
				return err
			}
			ports = append(ports, words...)
		}
		c.Ports = ports
	}
	if c, ok := command.(instructions.SupportsSingleWordExpansionRaw); ok {
		lex.RawQuotes, lex.RawEscapes = true, true
		return c.ExpandRaw(func(word string) (string, error) {
			out, _, err := lex.ProcessWord(word, known)
			return out, err
		})
	}
	return nil
}

// doArg declares build arguments.
func (w *work) doArg(now *state, c *instructions.ArgCommand) error {
	for _, arg := range c.Args {
		value := arg.Value
		if value == nil {
			if global, ok := w.globals.Get(arg.Key); ok {
				value = &global
			}
		}
		if given, ok := w.Args[arg.Key]; ok && given != nil {
			value = given
		}
		text := arg.Key
		if value != nil {
			now.args.set(arg.Key, *value)
			text += "=" + *value
		}
		now.note("ARG "+text, false)
	}
	return nil
}

// layerStep is a step that makes a layer.
type layerStep struct {
	title string
	by    string // its line of history
	key   string
	alone bool // it is made over nothing, whatever is below it
	// make changes what is over the snapshot.
	make func(ctx context.Context, snap *rootfs.Snapshot, shown *show.Step) error
}

// layer finds what a step has made before, or makes it now.
func (w *work) layer(ctx context.Context, s *stage, now *state, step layerStep) error {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-w.slots }()
	shown := w.Display.Step(step.title)
	made, hit := cached{}, false
	if !w.NoCache && !slices.Contains(w.NoCacheFilter, s.Name) {
		made, hit = w.cache.find(ctx, step.key)
	}
	if hit && made.DiffID != "" {
		if err := w.session.lease.Hold(made.DiffID); err != nil {
			return err
		}
		_, err := w.config.Images.Layer(ctx, made.DiffID) // it may have been swept in between
		hit = err == nil
	}
	if !hit {
		var err error
		if made, err = w.makeLayer(ctx, now, step, shown); err != nil {
			if ctx.Err() != nil {
				shown.Canceled()
				return context.Cause(ctx)
			}
			err = withTail(err, shown)
			shown.End(err)
			return err
		}
	}
	if made.DiffID != "" {
		now.layers = append(slices.Clone(now.layers), made.DiffID)
	}
	now.created = made.Created
	now.note(step.by, made.DiffID != "")
	line := &now.spec.History[len(now.spec.History)-1]
	line.Created = &made.Created
	if w.InlineCache && made.DiffID != "" {
		line.Comment = keyNote + step.key
	}
	if hit {
		shown.Cached()
	} else {
		shown.End(nil)
	}
	return nil
}

func (w *work) makeLayer(ctx context.Context, now *state, step layerStep, shown *show.Step) (cached, error) {
	below := now.layers
	if step.alone {
		below = nil
	}
	key, snap, err := w.session.snapshot(ctx, below, now.spec.Config.ImageConfig)
	if err != nil {
		return cached{}, err
	}
	defer w.session.discard(key)
	if err := step.make(ctx, snap, shown); err != nil {
		return cached{}, err
	}
	latest := time.Time{}
	made := cached{Created: time.Now().UTC(), Step: step.by}
	if w.Epoch != nil {
		latest, made.Created = *w.Epoch, *w.Epoch
	}
	layer, err := w.config.Images.CommitLayer(ctx, w.session.lease, key, latest)
	if err != nil {
		return cached{}, err
	}
	made.DiffID, made.Size = layer.DiffID, layer.Size
	return made, w.cache.put(step.key, made)
}

// epochWord goes into keys: layers of different times are different.
func (w *work) epochWord() string {
	if w.Epoch == nil {
		return ""
	}
	return fmt.Sprint(w.Epoch.Unix())
}

// CommandError is a RUN whose command failed.
type CommandError struct {
	Args []string
	Code int
	// Tail is what it wrote last, under the step's title.
	Tail string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("process %q did not complete successfully: exit code: %d", strings.Join(e.Args, " "), e.Code)
}

func withTail(err error, shown *show.Step) error {
	var failed *CommandError
	if errors.As(err, &failed) {
		failed.Tail = shown.Tail()
	}
	return err
}
