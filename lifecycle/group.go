// Package lifecycle starts the parts of a program in order and stops them in reverse. It knows parts only as
// a name and a blocking Run; it restarts nothing.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Part is one running thing. Run blocks until ctx ends and every goroutine it started has ended.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
	// Ready, if set, is waited for before the next part starts: it blocks until the part can be used.
	Ready func(ctx context.Context) error
	// StopWithin is how long Run may take to return once its context has ended; 10 s when zero.
	StopWithin time.Duration
}

// Group runs parts in the order given and stops them in reverse order.
type Group struct {
	Parts []Part
	// Log, slog.Default() if nil.
	Log *slog.Logger
	// Started, if set, is called after each part became ready, with the time since the group's start.
	Started func(name string, since time.Duration)
}

type running struct {
	part   Part
	cancel context.CancelFunc
	done   chan error
}

// Run blocks until ctx ends (then it returns nil) or a part ends by itself (then it returns why). In both
// cases every started part has been stopped first; a part that is late is named in the error.
func (g *Group) Run(ctx context.Context) error {
	var started []*running
	failed := make(chan error, len(g.Parts))
	begin := time.Now()
	err := func() error {
		for _, part := range g.Parts {
			r := start(part, failed)
			started = append(started, r)
			if err := waitReady(ctx, part, failed); err != nil || ctx.Err() != nil {
				return err
			}
			if g.Started != nil {
				g.Started(part.Name, time.Since(begin))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		}
	}()
	for i := len(started) - 1; i >= 0; i-- {
		err = errors.Join(err, g.stop(started[i]))
	}
	return err
}

func start(part Part, failed chan<- error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{part: part, cancel: cancel, done: make(chan error, 1)}
	go func() {
		err := part.Run(ctx)
		r.done <- err
		if ctx.Err() != nil {
			return // asked to stop
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		failed <- fmt.Errorf("%s: %w", part.Name, err)
	}()
	return r
}

func waitReady(ctx context.Context, part Part, failed <-chan error) error {
	if part.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- part.Ready(ctx) }()
	select {
	case err := <-failed:
		return err
	case err := <-ready:
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: not ready: %w", part.Name, err)
		}
		return nil
	}
}

func (g *Group) stop(r *running) error {
	within := r.part.StopWithin
	if within == 0 {
		within = 10 * time.Second
	}
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil && !errors.Is(err, context.Canceled) {
			g.log().Debug("part stopped", "part", r.part.Name, "err", err)
		}
		return nil
	case <-time.After(within):
		return fmt.Errorf("%s: still running %s after it was asked to stop", r.part.Name, within)
	}
}

func (g *Group) log() *slog.Logger {
	if g.Log != nil {
		return g.Log
	}
	return slog.Default()
}
