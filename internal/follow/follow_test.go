package follow

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dhow/internal/logtest"
)

func TestAGoodFileIsAppliedAndABadOneIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	put := func(text string) { // as editors and mounted ConfigMaps do it
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	applied, log := make(chan string, 8), &logtest.Buffer{}
	file := &File{
		Path: path, Data: []byte("one"), Log: slog.New(slog.NewTextHandler(log, nil)),
		Apply: func(_ context.Context, data []byte) error {
			if string(data) == "bad" {
				return errors.New("line 1: not a word")
			}
			return nil
		},
		Applied: func(data []byte) { applied <- string(data) },
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); file.Run(ctx) }()
	defer func() { stop(); <-ended }()

	wait := func(done func() bool) {
		t.Helper()
		tick, deadline := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
		defer tick.Stop()
		for !done() {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatal("still not so after a minute")
			}
		}
	}
	put("bad")
	wait(func() bool { return log.Has("line 1: not a word") && log.Has(path) })
	put("two")
	select {
	case got := <-applied:
		if got != "two" {
			t.Errorf("applied %q", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("a good file was not applied")
	}
}

func TestAFileThatMayBeAbsentIsFollowedFromItsFirstDay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	applied := make(chan string, 8)
	file := &File{
		Path: path, Optional: true, Log: slog.New(slog.DiscardHandler),
		Apply: func(_ context.Context, data []byte) error { applied <- string(data); return nil },
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); file.Run(ctx) }()
	defer func() { stop(); <-ended }()
	for _, want := range []string{"one", "two", ""} { // made, replaced, removed
		change := func() error { return os.Remove(path) }
		if want != "" {
			change = func() error {
				return errors.Join(os.WriteFile(path+".new", []byte(want), 0o600), os.Rename(path+".new", path))
			}
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-applied:
			if got != want {
				t.Errorf("applied %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q was not applied", want)
		}
	}
}
