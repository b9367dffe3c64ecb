package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container"
	"dhow/internal/crilog"
)

// Exec runs a command in a running container and returns its exit code.
func (s *Service) Exec(ctx context.Context, ref string, options container.ExecOptions) (int, error) {
	c, runtime, err := s.running(ctx, ref)
	if err != nil {
		return 0, err
	}
	if c.State.Paused {
		return 0, conflict("Container %s is paused, unpause the container before exec", ref)
	}
	s.settleNeighbours(ctx, runtime, c)
	s.event(c, "exec_start: "+strings.Join(options.Command, " "), nil)
	return runtime.Exec(ctx, c.State.Runtime, options)
}

// Attach passes a running container's streams until it ends or ctx does.
func (s *Service) Attach(ctx context.Context, ref string, streams container.Streams) error {
	c, runtime, err := s.running(ctx, ref)
	if err != nil {
		return err
	}
	if c.State.Paused {
		return conflict("cannot attach to a paused container, unpause it first")
	}
	s.settleNeighbours(ctx, runtime, c)
	err = runtime.Attach(ctx, c.State.Runtime, streams)
	if now, e := s.Get(context.WithoutCancel(ctx), c.ID); e != nil || !now.Alive() {
		return nil
	}
	return err
}

// settleNeighbours takes down the ends of those whose names a container knows, so that it does not find the dead.
func (s *Service) settleNeighbours(ctx context.Context, runtime *container.Engine, c *Container) {
	if !slices.ContainsFunc(c.State.Networks, func(a Attachment) bool { return a.Network != bridgeName }) {
		return
	}
	list, err := s.all()
	if err != nil {
		return
	}
	for _, other := range list {
		if other.ID == c.ID || !slices.ContainsFunc(other.State.Networks, c.shares) {
			continue
		}
		if _, err := s.settle(ctx, runtime, other); unlessGone(err) != nil {
			s.log.Error("container cannot be looked at", "container", other.ID, "err", err)
		}
	}
}

// Signal sends a signal to a container's first process. A signal that ends it ends its restarts.
func (s *Service) Signal(ctx context.Context, ref string, signal unix.Signal) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	if !c.Alive() {
		return conflict("cannot kill container: %s: container %s is not running", ref, c.ID)
	}
	if signal == unix.SIGKILL {
		zero := time.Duration(0)
		return s.Stop(ctx, c.ID, Stopping{Timeout: &zero})
	}
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	if err := runtime.Kill(ctx, c.State.Runtime, strconv.Itoa(int(signal))); err != nil {
		return fmt.Errorf("cannot kill container: %s: %w", ref, err)
	}
	s.event(c, "kill", map[string]string{"signal": fmt.Sprint(int(signal))})
	return nil
}

// Logs writes what a container has written.
func (s *Service) Logs(ctx context.Context, ref string, options crilog.Options, out, errs io.Writer) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	if c.Spec.LogDriver == "none" {
		return errors.New("configured logging driver does not support reading")
	}
	if c.State.Started.IsZero() {
		return nil // it never ran
	}
	options.Alive = func() bool {
		now, err := s.Get(ctx, c.ID)
		return err == nil && now.Alive()
	}
	for n := c.Spec.Extra.Log.MaxFiles - 1; n > 0; n-- {
		options.Older = append(options.Older, fmt.Sprintf("%s.%d", s.LogPath(c.ID), n))
	}
	return crilog.Read(ctx, s.LogPath(c.ID), options, out, errs)
}
