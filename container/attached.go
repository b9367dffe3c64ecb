package container

import (
	"context"
	"fmt"

	"dhow/container/shim"
)

// StartAttached is Attach to a created container and StartContainer in one: nothing of its output is missed. It calls
// started, if not nil, when the command has been executed, and returns when the container ends or ctx does, which
// leaves it running. Its error is that of the start, or of the attachment afterwards.
func (e *Engine) StartAttached(ctx context.Context, id string, streams Streams, started func()) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	conn, err := shim.Dial(c.sandbox.dir)
	if err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	defer conn.Close()
	pipes, err := newPipes(streams)
	if err != nil {
		return err
	}
	defer pipes.close()
	request := shim.Request{
		Op: shim.OpEarly, Container: id,
		Input: streams.Stdin != nil, Output: streams.Stdout != nil, Errors: streams.Stderr != nil && !streams.TTY,
	}
	if size, ok := firstSize(streams.Resize); ok {
		request.Width, request.Height = size.Width, size.Height
	}
	if err := conn.Send(request, pipes.theirs...); err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	pipes.given()
	var reply shim.Reply
	if _, err := conn.Receive(&reply); err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	if err := e.StartContainer(ctx, id); err != nil {
		return err
	}
	if started != nil {
		started()
	}
	err = awaitEnd(ctx, conn, streams, pipes)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
