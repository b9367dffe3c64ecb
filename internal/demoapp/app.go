// Package demoapp is the small two-tier application that dhow demo deploys: the dhow binary is its image.
package demoapp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// Config of the application; the command line fills it from the environment.
type Config struct {
	// Addr to listen on, ":8080".
	Addr string
	// Version is what rolling updates change, Pod the replica's name, Greeting free text.
	Version, Pod, Greeting string
	// Backend is the base URL of the second tier.
	Backend string
	Log     *slog.Logger
}

// Answer is what the web tier says.
type Answer struct {
	Greeting string `json:"greeting"`
	Pod      string `json:"pod"`
	Version  string `json:"version"`
	Visit    int64  `json:"visit"`
}

// RunWeb serves the first tier until ctx ends.
func RunWeb(ctx context.Context, c Config) error {
	backend := &http.Client{Timeout: 3 * time.Second}
	mux := newMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		visit, err := askBackend(r.Context(), backend, c.Backend)
		if err != nil {
			c.Log.Error("backend did not answer", "err", err)
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		c.Log.Info("visit", "number", visit, "client", r.RemoteAddr)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Answer{c.Greeting, c.Pod, c.Version, visit})
	})
	return serve(ctx, c, mux)
}

// RunBackend serves the second tier until ctx ends: each GET /visit is given the next number.
func RunBackend(ctx context.Context, c Config) error {
	var visits atomic.Int64
	mux := newMux()
	mux.HandleFunc("GET /visit", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, visits.Add(1))
	})
	return serve(ctx, c, mux)
}

func newMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

func askBackend(ctx context.Context, client *http.Client, base string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/visit", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var n int64
	if _, err := fmt.Fscan(io.LimitReader(resp.Body, 32), &n); err != nil {
		return 0, fmt.Errorf("read %s/visit: %w", base, err)
	}
	return n, nil
}

func serve(ctx context.Context, c Config, handler http.Handler) error {
	server := &http.Server{Addr: c.Addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	c.Log.Info("listening", "addr", c.Addr, "version", c.Version)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(stop)
}
