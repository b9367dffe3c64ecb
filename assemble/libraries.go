//go:build !nocluster

package assemble

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"

	"k8s.io/klog/v2"
)

// quietLibraries lets the libraries' own log through from errors on, until the server ends: then requests under way are
// cut off, which the libraries take for errors. That a client has gone away is no error either.
func quietLibraries(ctx context.Context, log *slog.Logger) {
	klog.SetSlogLogger(slog.New(quiet{log.Handler(), ctx}))
}

// quiet is a handler that passes over what is no error, and all once its context has ended.
type quiet struct {
	slog.Handler
	until context.Context
}

func (h quiet) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.until.Err() == nil
}

// Handle makes an ordinary disconnect a matter of debugging. It asks Enabled itself: logr does not for errors.
func (h quiet) Handle(ctx context.Context, r slog.Record) error {
	if !h.Enabled(ctx, r.Level) {
		return nil
	}
	if disconnect(r) {
		r.Level = slog.LevelDebug
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the handler quiet.
func (h quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{h.Handler.WithAttrs(attrs), h.until}
}

// WithGroup keeps the handler quiet.
func (h quiet) WithGroup(name string) slog.Handler { return quiet{h.Handler.WithGroup(name), h.until} }

// serving are the beginnings of what the libraries say where they serve a client's connection: only there is its end
// ordinary. The second is how they report whatever a handler of theirs came upon.
var serving = []string{"Error on socket receive", "Unhandled Error", "Error proxying response from backend to client"}

// hungUp are the texts of errors that have no value to compare with: HTTP/2's and WebSocket's.
var hungUp = []string{
	"client disconnected", "http2: stream closed", "use of closed network connection", "connection reset by peer", "broken pipe",
	"unexpected EOF", "websocket: close",
}

// disconnect tells whether a record is of a client that went away.
func disconnect(r slog.Record) bool {
	if !slices.ContainsFunc(serving, func(s string) bool { return strings.HasPrefix(r.Message, s) }) {
		return false
	}
	found := false
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok && a.Key == "err" {
			found = goneAway(err)
		}
		return !found
	})
	return found
}

func goneAway(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return slices.ContainsFunc(hungUp, func(s string) bool { return strings.Contains(err.Error(), s) })
}
