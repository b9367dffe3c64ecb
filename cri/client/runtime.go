// Package client speaks CRI v1 with a container runtime of somebody else's (containerd, CRI-O, another dhow) and gives it
// the shape of our own: Runtime is a container.Runtime, Images an image.Service.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/cri/socket"
)

// Config of a Runtime or Images.
type Config struct {
	// Endpoint is the other's socket: unix:///run/containerd/containerd.sock.
	Endpoint string
	// Timeout of a call whose work is short, two minutes if zero. What a call waits for by contract is added to it;
	// pulls, exec, attach and events have none.
	Timeout time.Duration
	// Poll is how often containers are listed for Events where the runtime has no events of its own, one second if zero.
	Poll time.Duration
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

func (c *Config) complete() error {
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Minute
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	_, err := socket.Path(c.Endpoint)
	return err
}

// maxMessage is what runtimes send at most.
const maxMessage = 16 << 20

// dial prepares a connection, which is made by the first call, and again whenever it is lost.
func (c *Config) dial() (*grpc.ClientConn, error) {
	path, err := socket.Path(c.Endpoint)
	if err != nil {
		return nil, err
	}
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, 3*time.Second
	return grpc.NewClient("passthrough:///"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // a socket of this machine
		grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) { return socket.Dial(ctx, path) }),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithIdleTimeout(0),
	)
}

// Runtime is a container runtime behind a socket.
type Runtime struct {
	config Config
	log    *slog.Logger
	conn   *grpc.ClientConn
	rpc    cri.RuntimeServiceClient
	// systemd makes the runtime's control groups.
	systemd atomic.Bool
}

var _ container.Runtime = (*Runtime)(nil)

// NewRuntime checks the configuration; it connects when it is used.
func NewRuntime(c Config) (*Runtime, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("cri client: %w", err)
	}
	conn, err := c.dial()
	if err != nil {
		return nil, fmt.Errorf("cri client: %w", err)
	}
	return &Runtime{config: c, log: c.Log, conn: conn, rpc: cri.NewRuntimeServiceClient(conn)}, nil
}

// Run holds the connection until ctx ends.
func (r *Runtime) Run(ctx context.Context) error {
	<-ctx.Done()
	return r.conn.Close()
}

// Ready blocks until the runtime answers, and fails if it does not speak CRI v1.
func (r *Runtime) Ready(ctx context.Context) error {
	v, err := r.version(ctx)
	if err != nil {
		return fmt.Errorf("container runtime at %s: %w", r.config.Endpoint, explain(err))
	}
	if v.RuntimeApiVersion != "v1" {
		return fmt.Errorf("container runtime at %s: %s speaks CRI %s, not v1", r.config.Endpoint, v.RuntimeName, v.RuntimeApiVersion)
	}
	if err := r.learnDriver(ctx); err != nil {
		return fmt.Errorf("container runtime at %s: %w", r.config.Endpoint, err)
	}
	r.log.Info("container runtime answers", "endpoint", r.config.Endpoint, "runtime", v.RuntimeName, "version", v.RuntimeVersion)
	return nil
}

// version asks until somebody answers: whoever was there may have gone while it was asked.
func (r *Runtime) version(ctx context.Context) (*cri.VersionResponse, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := r.rpc.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
		if status.Code(err) != codes.Unavailable {
			return v, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// call makes one call, with the deadline, and with errors that container.ErrNotFound matches.
func call[Request, Answer any](ctx context.Context, timeout time.Duration, rpc func(context.Context, Request, ...grpc.CallOption) (Answer, error), request Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := rpc(ctx, request)
	return answer, explain(err)
}

// gone takes absence for success.
func gone(err error) error {
	if errors.Is(err, container.ErrNotFound) {
		return nil
	}
	return err
}

// RunPodSandbox implements container.Runtime.
func (r *Runtime) RunPodSandbox(ctx context.Context, config *cri.PodSandboxConfig, handler string) (string, error) {
	answer, err := call(ctx, 2*r.config.Timeout, r.rpc.RunPodSandbox, &cri.RunPodSandboxRequest{Config: r.withParent(config), RuntimeHandler: handler})
	return answer.GetPodSandboxId(), err
}

// StopPodSandbox implements container.Runtime.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	_, err := call(ctx, r.config.Timeout, r.rpc.StopPodSandbox, &cri.StopPodSandboxRequest{PodSandboxId: id})
	return gone(err)
}

// RemovePodSandbox implements container.Runtime. Some runtimes remove what has stopped only.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	_, err := call(ctx, r.config.Timeout, r.rpc.RemovePodSandbox, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return gone(err)
}

// PodSandboxStatus implements container.Runtime.
func (r *Runtime) PodSandboxStatus(ctx context.Context, id string) (*cri.PodSandboxStatus, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.PodSandboxStatus, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	return answer.GetStatus(), err
}

// ListPodSandbox implements container.Runtime.
func (r *Runtime) ListPodSandbox(ctx context.Context, filter *cri.PodSandboxFilter) ([]*cri.PodSandbox, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.ListPodSandbox, &cri.ListPodSandboxRequest{Filter: filter})
	return answer.GetItems(), err
}

// Status implements container.Runtime.
func (r *Runtime) Status(ctx context.Context) (*cri.StatusResponse, error) {
	return call(ctx, r.config.Timeout, r.rpc.Status, &cri.StatusRequest{})
}

// Version implements container.Runtime.
func (r *Runtime) Version(ctx context.Context) (*cri.VersionResponse, error) {
	return call(ctx, r.config.Timeout, r.rpc.Version, &cri.VersionRequest{})
}
