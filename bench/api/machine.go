package main

import (
	"context"
	"fmt"
	"time"
)

// settle is how long a server is left alone before its memory is read.
const settle = 15 * time.Second

// starts measures from nothing on disk.
func starts(t *table) error {
	if t.wanted("Start, cold") {
		return t.figure("Start, cold", "<= 0.6 s", seconds, started)
	}
	for _, s := range t.servers {
		if _, err := s.start(t.ctx); err != nil {
			return err
		}
	}
	return nil
}

func started(ctx context.Context, s *server) (float64, error) {
	took, err := s.start(ctx)
	return took.Seconds(), err
}

func warmStarts(t *table) error {
	return t.figure(fmt.Sprintf("Start, warm, %d pods", t.sizes.pods), "-", seconds, func(ctx context.Context, s *server) (float64, error) {
		if err := fill(ctx, s, t.sizes.pods); err != nil {
			return 0, err
		}
		if err := s.stop(); err != nil {
			return 0, err
		}
		return started(ctx, s)
	})
}

func memoryEmpty(t *table) error {
	return t.figure("Memory, empty", "-", megabytes, settled)
}

func podsOfMemory(t *table) error { return memoryWith(t, t.sizes.pods, "<= 0.5") }

func manyPods(t *table) error {
	if t.sizes.morePods == 0 {
		return nil
	}
	return memoryWith(t, t.sizes.morePods, "-")
}

func memoryWith(t *table, n int, goal string) error {
	return t.figure(fmt.Sprintf("Memory with %d pods", n), goal, megabytes, func(ctx context.Context, s *server) (float64, error) {
		if err := fill(ctx, s, n); err != nil {
			return 0, err
		}
		return settled(ctx, s)
	})
}

// settled is a server's memory when it has been idle for some time.
func settled(ctx context.Context, s *server) (float64, error) {
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	sum, err := s.memory()
	return float64(sum), err
}
