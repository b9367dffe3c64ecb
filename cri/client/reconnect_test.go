package client_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dhow/container/containertest"
	"dhow/cri/client"
	"dhow/cri/server"
)

// serve runs a server until stop.
func serve(t *testing.T, path string) (stop func()) {
	t.Helper()
	s, err := server.New(server.Config{Socket: path, Runtime: containertest.NewFake(), Images: &fakeImages{}, ImageDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAClientFindsARuntimeThatHasStartedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cri.sock")
	c, err := client.NewRuntime(client.Config{Endpoint: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	background(t, c.Run)
	if _, err := c.Version(t.Context()); err == nil {
		t.Error("there is no server yet, and it answers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for range 2 {
		stop := serve(t, path)
		if err := c.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		events := c.Events(ctx)
		stop()
		for range events { // they end with the server
		}
		if _, err := c.Version(t.Context()); err == nil {
			t.Error("the server has ended, and it answers")
		}
	}
}

func TestAnEndpointMustBeAUnixSocket(t *testing.T) {
	for _, endpoint := range []string{"", "tcp://127.0.0.1:1", "run/x.sock", "unix://x.sock"} {
		if _, err := client.NewRuntime(client.Config{Endpoint: endpoint}); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
}
