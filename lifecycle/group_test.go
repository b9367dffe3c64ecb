package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal notes what happened, in order.
type journal struct {
	mu    sync.Mutex
	notes []string
}

func (j *journal) note(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, s)
}

func (j *journal) part(name string) Part {
	return Part{Name: name, Run: func(ctx context.Context) error {
		j.note("start " + name)
		<-ctx.Done()
		j.note("stop " + name)
		return nil
	}, Ready: func(context.Context) error {
		synctest.Wait()
		j.note("ready " + name)
		return nil
	}}
}

func TestPartsStartInOrderAndStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		g := Group{Parts: []Part{j.part("a"), j.part("b")}, Started: func(name string, _ time.Duration) {
			if name == "b" {
				cancel()
			}
		}}
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := []string{"start a", "ready a", "start b", "ready b", "stop b", "stop a"}
		if !slices.Equal(j.notes, want) {
			t.Errorf("got %v, want %v", j.notes, want)
		}
	})
}

func TestAPartThatFailsStopsTheOthersAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		boom := errors.New("boom")
		g := Group{Parts: []Part{j.part("a"), {Name: "b", Run: func(context.Context) error { return boom }}}}
		err := g.Run(t.Context())
		if !errors.Is(err, boom) || !strings.Contains(err.Error(), "b: ") {
			t.Errorf("got %v, want b's own error", err)
		}
		if last := j.notes[len(j.notes)-1]; last != "stop a" {
			t.Errorf("a was not stopped: %v", j.notes)
		}
	})
}

func TestAPartThatEndsByItselfIsAnError(t *testing.T) {
	g := Group{Parts: []Part{{Name: "a", Run: func(context.Context) error { return nil }}}}
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "a: ended by itself") {
		t.Errorf("got %v", err)
	}
}

func TestAPartThatIsLateIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		g := Group{
			Parts: []Part{{Name: "slow", StopWithin: time.Second, Run: func(context.Context) error {
				<-release
				return nil
			}}},
			Started: func(string, time.Duration) { cancel() },
		}
		err := g.Run(ctx)
		if err == nil || !strings.Contains(err.Error(), "slow: still running") {
			t.Errorf("got %v", err)
		}
		close(release)
	})
}

func TestStoppingWhileAPartGetsReadyIsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := Group{Parts: []Part{{
			Name:  "a",
			Run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
			Ready: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() },
		}}}
		if err := g.Run(ctx); err != nil {
			t.Errorf("got %v, want a clean stop", err)
		}
	})
}
