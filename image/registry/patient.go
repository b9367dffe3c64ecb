package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// patience is how long a registry may be silent: before its answer, and within it.
const patience = time.Minute

// patient is a transport that gives up on a registry that falls silent, however long the whole takes.
type patient struct {
	next  http.RoundTripper
	limit time.Duration
}

// Patient gives up on servers that fall silent.
func Patient(next http.RoundTripper) http.RoundTripper { return patient{next, patience} }

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	silence := fmt.Errorf("%s is silent for %v", r.URL.Host, p.limit)
	timer := time.AfterFunc(p.limit, func() { cancel(silence) })
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &sending{r.Body, timer, p.limit}
	}
	resp, err := p.next.RoundTrip(r)
	timer.Stop()
	if err != nil {
		err = orCause(ctx, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &patientBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, timer: timer, limit: p.limit}
	return resp, nil
}

// sending is what a request sends: as long as the registry takes it, it is not silent.
type sending struct {
	io.ReadCloser
	timer *time.Timer
	limit time.Duration
}

func (s *sending) Read(p []byte) (int, error) {
	s.timer.Reset(s.limit)
	return s.ReadCloser.Read(p)
}

// orCause is why a request was given up, or else err.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// patientBody watches the time while somebody waits for more of it.
type patientBody struct {
	io.ReadCloser
	ctx    context.Context // of this one answer
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = orCause(b.ctx, err)
	}
	return n, err
}

func (b *patientBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
