package apiserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	restclient "k8s.io/client-go/rest"
)

// transport is an http.RoundTripper that calls the server's own handlers. Requests wait until serve.
type transport struct {
	open    chan struct{}
	once    sync.Once
	handler http.Handler
}

func newTransport() *transport { return &transport{open: make(chan struct{})} }

// serve lets requests through to handler.
func (t *transport) serve(handler http.Handler) {
	t.once.Do(func() {
		t.handler = handler
		close(t.open)
	})
}

func (t *transport) config(name string, groups []string) *restclient.Config {
	u := &user.DefaultInfo{Name: name, Groups: groups}
	return &restclient.Config{
		Host:      "http://in-process",
		Transport: asUser{t, u},
		QPS:       -1,
		UserAgent: "dhow/" + name,
		ContentConfig: restclient.ContentConfig{
			ContentType:        runtime.ContentTypeProtobuf,
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
		DisableCompression: true,
	}
}

type userKey struct{}

func userOf(ctx context.Context) (user.Info, bool) {
	u, ok := ctx.Value(userKey{}).(user.Info)
	return u, ok
}

// asUser makes every request in the name of one user.
type asUser struct {
	t    *transport
	user user.Info
}

// RoundTrip returns when the handler has sent its header; the body follows as it is written.
func (a asUser) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-a.t.open:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	ctx, cancel := context.WithCancel(context.WithValue(afresh(r.Context()), userKey{}, a.user))
	in := serverRequest(r.WithContext(ctx))
	out := newResponse(ctx, cancel)
	go func() {
		defer out.finish()
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // the answer breaks off, as a connection would
				out.fail(io.ErrUnexpectedEOF)
			default:
				out.fail(fmt.Errorf("handler panicked: %v", p))
			}
		}()
		a.t.handler.ServeHTTP(out, in)
	}()
	select {
	case <-out.started:
		return out.response(r), nil
	case <-ctx.Done():
		err := context.Cause(ctx)
		out.Close() // nobody will read what the handler still writes
		return nil, err
	}
}

// afresh hides what a server has noted in the context of a request (who asks, what is audited) from another request that
// is made on its behalf.
func afresh(ctx context.Context) context.Context {
	if _, inside := request.RequestInfoFrom(ctx); inside {
		return noValues{ctx}
	}
	return ctx
}

// noValues is a context that ends with another, and has nothing else of it.
type noValues struct{ context.Context }

// Value implements context.Context.
func (noValues) Value(any) any { return nil }

// serverRequest is a client's request as a server would have read it.
func serverRequest(r *http.Request) *http.Request {
	r.RequestURI = r.URL.RequestURI()
	r.Host = r.URL.Host
	r.RemoteAddr = "127.0.0.1:0"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	if r.Header == nil {
		r.Header = http.Header{}
	} else {
		r.Header = r.Header.Clone()
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

// response is both ends of an answer: handlers write to it, the client reads its body.
type response struct {
	ctx     context.Context
	cancel  context.CancelFunc
	header  http.Header
	started chan struct{}
	status  int
	sent    http.Header
	reader  *io.PipeReader
	writer  *io.PipeWriter
}

var (
	_ http.ResponseWriter = &response{}
	_ http.Flusher        = &response{}
	_ io.ReadCloser       = &response{}
)

func newResponse(ctx context.Context, cancel context.CancelFunc) *response {
	r := &response{ctx: ctx, cancel: cancel, header: http.Header{}, started: make(chan struct{})}
	r.reader, r.writer = io.Pipe()
	return r
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter; the first call counts.
func (r *response) WriteHeader(status int) {
	if r.status != 0 || status < 200 {
		return
	}
	r.status, r.sent = status, r.header.Clone()
	close(r.started)
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.writer.Write(p)
}

// Flush implements http.Flusher: what was written is on its way already.
func (r *response) Flush() { r.WriteHeader(http.StatusOK) }

// CloseNotify tells handlers that the client has gone away.
func (r *response) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(r.ctx, func() { gone <- true })
	return gone
}

func (r *response) finish() {
	r.WriteHeader(http.StatusOK)
	r.writer.Close()
}

func (r *response) fail(err error) { r.writer.CloseWithError(err) }

func (r *response) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: r.sent, Body: r, ContentLength: -1, Request: req,
	}
}

// Read is the client's end.
func (r *response) Read(p []byte) (int, error) { return r.reader.Read(p) }

// Close ends the request: a handler that still runs is told so.
func (r *response) Close() error {
	r.cancel()
	return r.reader.Close()
}
