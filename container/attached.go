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
	conn, pipes, err := c.join(shim.OpEarly, streams)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer pipes.close()
	var reply shim.Reply
	if _, err := conn.Receive(&reply); err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	if reply.Error != "" {
		return fmt.Errorf("attach to container %s: %s", id, reply.Error)
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
	e.refresh(c)
	return err
}

// join asks the container's shim to connect the streams to the container's own.
func (c *container) join(op string, streams Streams) (conn shim.Conn, p *pipes, err error) {
	if conn, err = shim.Dial(c.sandbox.dir); err != nil {
		return conn, nil, fmt.Errorf("attach to container %s: %w", c.ID, err)
	}
	if p, err = newPipes(streams); err != nil {
		conn.Close()
		return conn, nil, err
	}
	request := shim.Request{
		Op: op, Container: c.ID,
		Input: streams.Stdin != nil, Output: streams.Stdout != nil, Errors: streams.Stderr != nil && !streams.TTY,
	}
	if op == shim.OpEarly {
		if size, ok := firstSize(streams.Resize); ok {
			request.Width, request.Height = size.Width, size.Height
		}
	}
	if err := conn.Send(request, p.theirs...); err != nil {
		p.close()
		conn.Close()
		return conn, nil, fmt.Errorf("attach to container %s: %w", c.ID, err)
	}
	p.given()
	return conn, p, nil
}
