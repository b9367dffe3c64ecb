package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
	"dhow/container/shim"
)

// Exec implements Runtime.
func (e *Engine) Exec(ctx context.Context, id string, opts ExecOptions) (int, error) {
	c, err := e.running(id)
	if err != nil {
		return 0, err
	}
	if len(opts.Command) == 0 {
		return 0, errors.New("exec: no command")
	}
	if c.Cgroup.Frozen() { // it would stand still, too
		return 0, fmt.Errorf("container %s is paused, unpause the container before exec", id)
	}
	var spec shim.Container
	if err := readJSON(c.dir+"/"+specFile, &spec); err != nil {
		return 0, err
	}
	p := spec.Process
	p.Args, p.TTY = opts.Command, opts.TTY
	p.Env = append(p.Env, opts.Env...)
	if opts.TTY {
		p.Env = append(p.Env, "TERM=xterm")
	}
	if err := opts.adapt(&p); err != nil {
		return 0, err
	}
	conn, err := shim.Dial(c.sandbox.dir)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, err)
	}
	defer conn.Close()
	pipes, err := newPipes(opts.Streams)
	if err != nil {
		return 0, err
	}
	defer pipes.close()
	request := shim.Request{
		Op: shim.OpExec, Container: id, Process: &p,
		Input: opts.Stdin != nil, Output: opts.Stdout != nil, Errors: opts.Stderr != nil && !opts.TTY,
	}
	if size, ok := firstSize(opts.Resize); ok {
		request.Width, request.Height = size.Width, size.Height
	}
	if err := conn.Send(request, pipes.theirs...); err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", id, err)
	}
	pipes.given()
	return converse(ctx, conn, opts.Streams, pipes)
}

// adapt changes who the command is from who the container is.
func (o ExecOptions) adapt(p *shim.Process) error {
	if o.WorkingDir != "" {
		p.Cwd = o.WorkingDir
	}
	if o.User != "" {
		p.User, p.UID, p.GID = o.User, nil, nil
	}
	if !o.Privileged {
		return nil
	}
	var err error
	p.Capabilities, err = confine.OwnCapabilities()
	p.Seccomp, p.NoNewPrivileges = nil, false
	return err
}

func (e *Engine) running(id string) (*container, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	if c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s is not running", id)
	}
	return c, nil
}

// firstSize takes a size that is there already.
func firstSize(sizes <-chan TerminalSize) (TerminalSize, bool) {
	select {
	case size, ok := <-sizes:
		return size, ok
	default:
		return TerminalSize{}, false
	}
}

// converse passes sizes on and waits for the command's end and the last of its output.
func converse(ctx context.Context, conn shim.Conn, streams Streams, pipes *pipes) (int, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var reply shim.Reply
	if _, err := conn.Receive(&reply); err != nil {
		return 0, gone(ctx, err)
	}
	if reply.Error != "" {
		if reply.Code != 0 {
			return reply.Code, &ExecError{Code: reply.Code, Message: reply.Error}
		}
		return 0, errors.New(reply.Error)
	}
	return end(ctx, conn, streams, pipes)
}

// awaitEnd is converse for what has been answered once already.
func awaitEnd(ctx context.Context, conn shim.Conn, streams Streams, pipes *pipes) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, err := end(ctx, conn, streams, pipes)
	return err
}

func end(ctx context.Context, conn shim.Conn, streams Streams, pipes *pipes) (int, error) {
	over := make(chan struct{})
	defer close(over)
	go passSizes(conn, streams.Resize, over)
	var reply shim.Reply
	if _, err := conn.Receive(&reply); err != nil {
		return 0, gone(ctx, err)
	}
	if reply.Error != "" {
		return 0, errors.New(reply.Error)
	}
	if err := pipes.drain(ctx); err != nil {
		return 0, err
	}
	if reply.Exit == nil {
		return 0, nil
	}
	return reply.Exit.Code, nil
}

// ExecError is a command that could not be executed: Code is 127 when it does not exist, 126 when it is no program.
type ExecError struct {
	Code    int
	Message string
}

func (e *ExecError) Error() string { return e.Message }

func gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("shim: %w", err)
}

func passSizes(conn shim.Conn, sizes <-chan TerminalSize, over <-chan struct{}) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok || conn.Send(shim.Request{Op: shim.OpResize, Width: size.Width, Height: size.Height}) != nil {
				return
			}
		case <-over:
			return
		}
	}
}

// Attach implements Runtime.
func (e *Engine) Attach(ctx context.Context, id string, streams Streams) error {
	c, err := e.running(id)
	if err != nil {
		return err
	}
	conn, pipes, err := c.join(shim.OpAttach, streams)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer pipes.close()
	_, err = converse(ctx, conn, streams, pipes)
	if ctx.Err() != nil {
		return nil
	}
	e.refresh(c) // the record is there; who listens to the shim may not have read it yet
	return err
}

// pipes lead between a caller's streams and the shim.
type pipes struct {
	theirs []*os.File // for the shim: stdin, stdout, stderr, as far as there are
	ours   []*os.File
	output sync.WaitGroup
}

func newPipes(s Streams) (*pipes, error) {
	p := &pipes{}
	if s.Stdin != nil {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		p.theirs, p.ours = append(p.theirs, r), append(p.ours, w)
		go func() {
			_, _ = io.Copy(w, s.Stdin)
			w.Close()
		}()
	}
	outputs := []io.Writer{s.Stdout, s.Stderr}
	if s.TTY {
		outputs = outputs[:1]
	}
	for _, to := range outputs {
		if to == nil {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			p.given()
			p.close()
			return nil, err
		}
		p.theirs, p.ours = append(p.theirs, w), append(p.ours, r)
		p.output.Go(func() { _, _ = io.Copy(to, r) })
	}
	return p, nil
}

// given closes our copies of what the shim has now.
func (p *pipes) given() {
	for _, f := range p.theirs {
		f.Close()
	}
	p.theirs = nil
}

// drain waits for the last of the output: what the command has left behind may hold it for as long as it lives.
func (p *pipes) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.output.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *pipes) close() {
	p.given()
	for _, f := range p.ours {
		f.Close()
	}
}

// PortForward implements Runtime.
func (e *Engine) PortForward(ctx context.Context, sandboxID string, port int32, conn io.ReadWriteCloser) error {
	s, err := e.sandbox(sandboxID)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, files, err := s.ask(shim.Request{Op: shim.OpDial, Port: int(port)})
	if err != nil {
		return err
	}
	if len(files) != 1 {
		closeFiles(files)
		return errors.New("shim: no connection came")
	}
	pod, err := net.FileConn(files[0])
	files[0].Close()
	if err != nil {
		return err
	}
	defer pod.Close()
	stop := context.AfterFunc(ctx, func() { pod.Close() })
	defer stop()
	return join(pod.(*net.TCPConn), conn)
}

// join copies both ways; the pod's side is told of the client's end, and the pod's end ends both.
func join(pod *net.TCPConn, client io.ReadWriteCloser) error {
	go func() {
		_, _ = io.Copy(pod, client)
		_ = pod.CloseWrite()
	}()
	_, err := io.Copy(client, pod)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
