package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/utils/exec"

	"dhow/container"
)

// Exec implements container.Runtime. A command without input whose ctx has a deadline (probes, hooks) is one call, which
// the runtime itself ends in time; others are streams.
func (r *Runtime) Exec(ctx context.Context, id string, opts container.ExecOptions) (int, error) {
	if len(opts.Command) == 0 {
		return 0, errors.New("exec: no command")
	}
	command := opts.Command
	if len(opts.Env) > 0 { // CRI has no words for them
		command = append(append([]string{"env"}, opts.Env...), command...)
	}
	if deadline, ok := ctx.Deadline(); ok && opts.Stdin == nil && !opts.TTY {
		return r.execSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: seconds(time.Until(deadline))}, opts.Streams)
	}
	streams := opts.Streams
	if streams.Stdin == nil && streams.Stdout == nil && streams.Stderr == nil {
		streams.Stdout = io.Discard // one there must be
	}
	answer, err := call(ctx, r.config.Timeout, r.rpc.Exec, &cri.ExecRequest{
		ContainerId: id, Cmd: command, Tty: streams.TTY,
		Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil && !streams.TTY,
	})
	if err != nil {
		return 0, err
	}
	err = stream(ctx, answer.Url, streams)
	var exit utilexec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	}
	return 0, err
}

func (r *Runtime) execSync(ctx context.Context, request *cri.ExecSyncRequest, to container.Streams) (int, error) {
	answer, err := r.rpc.ExecSync(ctx, request)
	if err != nil {
		if outOfTime(ctx, err) {
			return 0, context.Cause(ctx)
		}
		return 0, explain(err)
	}
	return int(answer.ExitCode), errors.Join(write(to.Stdout, answer.Stdout), write(to.Stderr, answer.Stderr))
}

// outOfTime says whether a call failed because its time was over. The server, which has the same deadline, may find out
// first; then the rest of the time is waited for.
func outOfTime(ctx context.Context, err error) bool {
	if at, ok := ctx.Deadline(); ok && time.Until(at) < time.Second && slices.Contains([]codes.Code{codes.Canceled, codes.DeadlineExceeded}, status.Code(err)) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

func write(to io.Writer, data []byte) error {
	if to == nil || len(data) == 0 {
		return nil
	}
	_, err := to.Write(data)
	return err
}

// Attach implements container.Runtime.
func (r *Runtime) Attach(ctx context.Context, id string, streams container.Streams) error {
	answer, err := call(ctx, r.config.Timeout, r.rpc.Attach, &cri.AttachRequest{
		ContainerId: id, Tty: streams.TTY,
		Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil && !streams.TTY,
	})
	if err != nil {
		return err
	}
	err = stream(ctx, answer.Url, streams)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// stream carries a caller's streams to a URL of the runtime.
func stream(ctx context.Context, address string, s container.Streams) error {
	at, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("the runtime's URL: %w", err)
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, at)
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{Stdin: s.Stdin, Stdout: s.Stdout, Tty: s.TTY}
	if !s.TTY {
		options.Stderr = s.Stderr
	}
	if s.Resize != nil {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		options.TerminalSizeQueue = sizes{ctx, s.Resize}
	}
	return executor.StreamWithContext(ctx, options)
}

// sizes are a terminal's, in the library's form.
type sizes struct {
	until context.Context
	from  <-chan container.TerminalSize
}

// Next implements remotecommand.TerminalSizeQueue.
func (q sizes) Next() *remotecommand.TerminalSize {
	select {
	case size, open := <-q.from:
		if !open {
			return nil
		}
		return &remotecommand.TerminalSize{Width: size.Width, Height: size.Height}
	case <-q.until.Done():
		return nil
	}
}

// PortForward implements container.Runtime.
func (r *Runtime) PortForward(ctx context.Context, sandboxID string, port int32, conn io.ReadWriteCloser) error {
	defer conn.Close()
	answer, err := call(ctx, r.config.Timeout, r.rpc.PortForward, &cri.PortForwardRequest{PodSandboxId: sandboxID, Port: []int32{port}})
	if err != nil {
		return err
	}
	link, err := connect(answer.Url)
	if err != nil {
		return fmt.Errorf("forward port %d: %w", port, err)
	}
	defer link.Close()
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer stop()
	return forward(link, port, conn)
}

func connect(address string) (httpstream.Connection, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		return nil, err
	}
	link, _, err := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at).Dial(portforward.ProtocolV1Name)
	return link, err
}

// forward joins conn to a port: one stream for data, one on which the runtime says what goes wrong.
func forward(link httpstream.Connection, port int32, conn io.ReadWriteCloser) error {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	problems, err := link.CreateStream(headers)
	if err != nil {
		return err
	}
	problems.Close() // we write nothing there
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := link.CreateStream(headers)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(data, conn)
		data.Close() // our direction
	}()
	_, copied := io.Copy(conn, data)
	if message, err := io.ReadAll(problems); err == nil && len(message) > 0 {
		return errors.New(string(message))
	}
	return copied
}
