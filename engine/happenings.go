package engine

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"time"

	"dhow/engine/events"
)

func (s *Service) eventLog() events.Log { return events.Log{Dir: s.config.Dir} }

func (s *Service) event(c *Container, action string, more map[string]string) {
	attributes := maps.Clone(c.Run.Labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"], attributes["image"] = c.Name, c.Spec.Image
	maps.Copy(attributes, more)
	s.emit("container", action, c.ID, attributes)
}

// emit writes an event down for whoever follows them. That it cannot be is told of, and no reason to stop.
func (s *Service) emit(kind, action, id string, attributes map[string]string) {
	if err := s.eventLog().Write(events.Event{Type: kind, Action: action, ID: id, Attributes: attributes, Time: time.Now()}); err != nil {
		s.log.Error("event cannot be written", "kind", kind, "err", err)
	}
}

// Events gives those since a time, and goes on until a time, or for ever if that is zero, or until ctx ends. Meanwhile it
// takes down the ends of containers, so that they are told of when they happen.
func (s *Service) Events(ctx context.Context, since, until time.Time, each func(events.Event) error) error {
	begun := time.Now()
	if !until.IsZero() && until.Before(begun) {
		return s.eventLog().Follow(ctx, since, until, each)
	}
	ctx, stop := context.WithCancel(ctx)
	var ends sync.WaitGroup
	defer ends.Wait()
	defer stop()
	watch := func(id string) { ends.Go(func() { _, _ = s.Wait(ctx, id) }) } // who waits for an end takes it down
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Alive() {
			watch(c.ID)
		}
	}
	return s.eventLog().Follow(ctx, since, until, func(e events.Event) error {
		if e.Action == "start" && e.Time.After(begun) {
			watch(e.ID)
		}
		return each(e)
	})
}

// lastWords is the exit code of a container that is gone.
func (s *Service) lastWords(id string) int {
	code := 0
	_ = s.eventLog().Of(id, func(e events.Event) error {
		if e.Action == "die" {
			code, _ = strconv.Atoi(e.Attributes["exitCode"])
		}
		return nil
	})
	return code
}
