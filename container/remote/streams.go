// Package remote joins the library that speaks SPDY and WebSocket with clients of exec, attach and port-forward to a
// container.Runtime. It serves no HTTP of its own.
package remote

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"dhow/container"
)

// How long a connection may be silent, and how long a client may take to open its streams.
const (
	IdleTimeout = 4 * time.Hour
	OpenTimeout = 30 * time.Second
)

// Runtime is the part of container.Runtime that has streams.
type Runtime interface {
	Exec(ctx context.Context, id string, opts container.ExecOptions) (exitCode int, err error)
	Attach(ctx context.Context, id string, streams container.Streams) error
	PortForward(ctx context.Context, sandboxID string, port int32, conn io.ReadWriteCloser) error
}

// Executor gives the library's streams to the runtime. It implements the library's Executor, Attacher and PortForwarder,
// for which a container's name is its id and a pod's name its sandbox's id.
type Executor struct{ Runtime Runtime }

// ExecInContainer ends with a utilexec.CodeExitError when the command's exit code is not 0.
func (e Executor) ExecInContainer(ctx context.Context, _, _, id string, cmd []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	code, err := e.Runtime.Exec(ctx, id, container.ExecOptions{Command: cmd, Streams: ends(ctx, in, out, errs, tty, resize)})
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// AttachContainer connects to the container's own streams.
func (e Executor) AttachContainer(ctx context.Context, _, _, id string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return e.Runtime.Attach(ctx, id, ends(ctx, in, out, errs, tty, resize))
}

// PortForward joins a stream to a port of the sandbox.
func (e Executor) PortForward(ctx context.Context, sandbox, _ string, port int32, stream io.ReadWriteCloser) error {
	return e.Runtime.PortForward(ctx, sandbox, port, stream)
}

// ends are a caller's streams in the runtime's terms: what is absent is nil, not a nil of some type.
func ends(ctx context.Context, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) container.Streams {
	s := container.Streams{TTY: tty, Stdin: in}
	if out != nil {
		s.Stdout = out
	}
	if errs != nil {
		s.Stderr = errs
	}
	if resize != nil {
		sizes := make(chan container.TerminalSize)
		s.Resize = sizes
		go passSizes(ctx, resize, sizes)
	}
	return s
}

func passSizes(ctx context.Context, from <-chan remotecommand.TerminalSize, to chan<- container.TerminalSize) {
	defer close(to)
	for {
		select {
		case size, open := <-from:
			if !open {
				return
			}
			select {
			case to <- container.TerminalSize{Width: size.Width, Height: size.Height}:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
