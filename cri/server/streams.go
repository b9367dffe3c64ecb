package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"dhow/container"
	"dhow/container/remote"
)

// streams serves exec, attach and port-forward over HTTP on loopback: the library gives out URLs with a token that is
// good once and for a minute. Its port is opened by the first who asks for one.
type streams struct {
	runtime container.Runtime
	log     *slog.Logger

	mu     sync.Mutex
	server streaming.Server
	stop   func()
	closed bool
}

func newStreams(r container.Runtime, log *slog.Logger) *streams {
	return &streams{runtime: r, log: log}
}

var errClosed = status.Error(codes.Unavailable, "the server is stopping")

// get starts serving, once.
func (s *streams) get() (streaming.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.server != nil {
		return s.server, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve streams: %w", err)
	}
	config := streaming.DefaultConfig
	config.StreamIdleTimeout, config.StreamCreationTimeout = remote.IdleTimeout, remote.OpenTimeout
	config.BaseURL = &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/"}
	server, err := streaming.NewServer(config, streamed{remote.Executor{Runtime: s.runtime}})
	if err != nil {
		listener.Close()
		return nil, err
	}
	s.server, s.stop = server, s.serve(server, listener)
	return server, nil
}

// serve returns what stops it and waits for its end.
func (s *streams) serve(handler http.Handler, listener net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var open sync.WaitGroup
	h := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open.Add(1)
			defer open.Done()
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(_ context.Context, c net.Conn) context.Context { return c.(*watchedConn).ctx },
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.Serve(watchedListener{listener, ctx}) // until it is closed
	}()
	return func() {
		cancel()
		h.Close()
		<-ended
		open.Wait()
	}
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.stop != nil {
		s.stop()
	}
}

// watchedListener's connections end their context when the client has gone. The HTTP server does not look any more once
// streams are open, and a command whose client has gone should not go on.
type watchedListener struct {
	net.Listener
	until context.Context
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	ctx, gone := context.WithCancelCause(l.until)
	return &watchedConn{c, ctx, gone}, nil
}

type watchedConn struct {
	net.Conn
	ctx  context.Context
	gone context.CancelCauseFunc
}

var errGone = errors.New("the client has gone")

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	var passing net.Error
	if err != nil && !(errors.As(err, &passing) && passing.Timeout()) {
		c.gone(errGone)
	}
	return n, err
}

func (c *watchedConn) Close() error {
	c.gone(errGone)
	return c.Conn.Close()
}

// streamed is the library's view of the runtime.
type streamed struct{ remote.Executor }

func (s streamed) Exec(ctx context.Context, id string, cmd []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return s.ExecInContainer(ctx, "", "", id, cmd, in, out, errs, tty, resize, 0)
}

func (s streamed) Attach(ctx context.Context, id string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return s.AttachContainer(ctx, "", "", id, in, out, errs, tty, resize)
}

func (s streamed) PortForward(ctx context.Context, sandbox string, port int32, stream io.ReadWriteCloser) error {
	return s.Executor.PortForward(ctx, sandbox, "", port, stream)
}

// running fails unless a container can be talked to.
func (s *runtimeService) running(ctx context.Context, id string) error {
	c, err := s.Runtime.ContainerStatus(ctx, id)
	if err != nil {
		return err
	}
	if c.State != cri.ContainerState_CONTAINER_RUNNING {
		return fmt.Errorf("container %s is not running", id)
	}
	return nil
}

// Exec prepares a command with streams.
func (s *runtimeService) Exec(ctx context.Context, r *cri.ExecRequest) (*cri.ExecResponse, error) {
	if len(r.Cmd) == 0 {
		return nil, missing("cmd")
	}
	if err := s.running(ctx, r.ContainerId); err != nil {
		return nil, err
	}
	server, err := s.streams.get()
	if err != nil {
		return nil, err
	}
	return server.GetExec(r)
}

// Attach prepares a connection to a container's own streams.
func (s *runtimeService) Attach(ctx context.Context, r *cri.AttachRequest) (*cri.AttachResponse, error) {
	if err := s.running(ctx, r.ContainerId); err != nil {
		return nil, err
	}
	server, err := s.streams.get()
	if err != nil {
		return nil, err
	}
	return server.GetAttach(r)
}

// PortForward prepares connections to a pod's ports.
func (s *runtimeService) PortForward(ctx context.Context, r *cri.PortForwardRequest) (*cri.PortForwardResponse, error) {
	for _, port := range r.Port {
		if err := checkPort("port", port, 1); err != nil {
			return nil, err
		}
	}
	sandbox, err := s.Runtime.PodSandboxStatus(ctx, r.PodSandboxId)
	if err != nil {
		return nil, err
	}
	if sandbox.State != cri.PodSandboxState_SANDBOX_READY {
		return nil, fmt.Errorf("sandbox %s is not ready", r.PodSandboxId)
	}
	server, err := s.streams.get()
	if err != nil {
		return nil, err
	}
	return server.GetPortForward(r)
}
