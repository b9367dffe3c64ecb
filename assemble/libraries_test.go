//go:build !nocluster

package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
)

func TestAClientThatGoesAwayIsNoError(t *testing.T) {
	for _, test := range []struct {
		message string
		err     error
		level   string
	}{
		{"Error on socket receive", fmt.Errorf("read tcp 10.0.0.1:6443: %w", syscall.ECONNRESET), "DEBUG"},
		{"Error on socket receive", io.EOF, "DEBUG"},
		{"Error on socket receive", errors.New("bad frame"), "ERROR"},
		{"Unhandled Error", errors.New("apiserver was unable to write a JSON response: client disconnected"), "DEBUG"},
		{"Unhandled Error", errors.New("unable to encode watch object: no kind is registered"), "ERROR"},
		{"Failed calling webhook", fmt.Errorf("post: %w", syscall.ECONNRESET), "ERROR"},
	} {
		var out strings.Builder
		inner := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
		log := logr.FromSlogHandler(quiet{inner, t.Context()})
		log.WithName("part").WithValues("pod", "a").Error(test.err, test.message)
		if !strings.Contains(out.String(), "level="+test.level) {
			t.Errorf("%s, %v: logged as %q, want %s", test.message, test.err, out.String(), test.level)
		}
	}
}

func TestWhatLibrariesTellIsLoggedOnlyIfItIsAnErrorOfARunningServer(t *testing.T) {
	var out strings.Builder
	ctx, stop := context.WithCancel(t.Context())
	log := logr.FromSlogHandler(quiet{slog.NewTextHandler(&out, nil), ctx}).WithValues("a", "b")
	log.Info("hello")
	log.Error(io.EOF, "Error on socket receive")
	stop()
	log.Error(io.EOF, "something else")
	if out.Len() != 0 {
		t.Errorf("logged: %s", out.String())
	}
}
