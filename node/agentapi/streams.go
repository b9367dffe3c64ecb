package agentapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"dhow/container"
)

const idleTimeout, openTimeout = 4 * time.Hour, 30 * time.Second

// executor carries a library's streams to the runtime; "container" is its id.
type executor struct{ runtime container.Runtime }

// ExecInContainer implements remotecommand.Executor.
func (e executor) ExecInContainer(ctx context.Context, _, _, id string, cmd []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	code, err := e.runtime.Exec(ctx, id, container.ExecOptions{Command: cmd, Streams: ends(ctx, in, out, errs, tty, resize)})
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// AttachContainer implements remotecommand.Attacher.
func (e executor) AttachContainer(ctx context.Context, _, _, id string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return e.runtime.Attach(ctx, id, ends(ctx, in, out, errs, tty, resize))
}

// PortForward implements portforward.PortForwarder; "pod" is its sandbox.
func (e executor) PortForward(ctx context.Context, sandbox, _ string, port int32, stream io.ReadWriteCloser) error {
	return e.runtime.PortForward(ctx, sandbox, port, stream)
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
		go func() {
			defer close(sizes)
			for {
				select {
				case size, open := <-resize:
					if !open {
						return
					}
					select {
					case sizes <- container.TerminalSize{Width: size.Width, Height: size.Height}:
					case <-ctx.Done():
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	return s
}

// running finds a container that can be talked to.
func (a *api) running(r *http.Request) (*cri.ContainerStatus, error) {
	status, err := a.Pods.Container(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), false)
	if err != nil {
		return nil, err
	}
	if status.State != cri.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s is not running", r.PathValue("container"))
	}
	return status, nil
}

func (a *api) exec(w http.ResponseWriter, r *http.Request) {
	status, err := a.running(r)
	if err != nil {
		fail(w, err)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		fail(w, err)
		return
	}
	remotecommand.ServeExec(w, r, executor{a.Runtime}, "", "", status.Id, r.URL.Query()["command"], options, idleTimeout, openTimeout, remotecommand.SupportedStreamingProtocols)
}

func (a *api) attach(w http.ResponseWriter, r *http.Request) {
	status, err := a.running(r)
	if err != nil {
		fail(w, err)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		fail(w, err)
		return
	}
	if spec := a.Pods.Spec(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")); spec != nil {
		options.TTY, options.Stdin = spec.TTY && options.TTY, options.Stdin && spec.Stdin
	}
	remotecommand.ServeAttach(w, r, executor{a.Runtime}, "", "", status.Id, options, idleTimeout, openTimeout, remotecommand.SupportedStreamingProtocols)
}

func (a *api) portForward(w http.ResponseWriter, r *http.Request) {
	sandbox, err := a.Pods.Sandbox(r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		fail(w, err)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		fail(w, err)
		return
	}
	portforward.ServePortForward(w, r, executor{a.Runtime}, sandbox, "", options, idleTimeout, openTimeout, portforward.SupportedProtocols)
}

// run runs one command and answers with all it has written.
func (a *api) run(w http.ResponseWriter, r *http.Request) {
	status, err := a.running(r)
	if err != nil {
		fail(w, err)
		return
	}
	var out bytes.Buffer
	code, err := a.Runtime.Exec(r.Context(), status.Id, container.ExecOptions{
		Command: r.URL.Query()["cmd"], Streams: container.Streams{Stdout: &out, Stderr: &out},
	})
	if err == nil && code != 0 {
		err = errors.New(out.String())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(out.Bytes())
}
