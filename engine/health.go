package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"dhow/container"
	"dhow/engine/health"
)

// healthOutput bytes of a check's are kept, as docker does.
const (
	healthOutput = 4096
	healthFile   = "health.json"
)

// Healthcheck is a container's check with its defaults; nil if it has none.
func (c *Container) Healthcheck() *health.Check { return c.Run.Health.Effective() }

// HealthState is what is known of a running container's health; nil without a check.
func (s *Service) HealthState(c *Container) *health.State {
	if c.Healthcheck() == nil || !c.Alive() {
		return nil
	}
	h := &health.State{}
	data, err := os.ReadFile(filepath.Join(s.dir(c.ID), healthFile))
	if err != nil || json.Unmarshal(data, h) != nil || h.Runtime != c.State.Runtime {
		return &health.State{Status: health.Starting, Runtime: c.State.Runtime}
	}
	return h
}

// Health is starting, healthy or unhealthy, and empty for a container without a check.
func (s *Service) Health(c *Container) string {
	if h := s.HealthState(c); h != nil {
		return h.Status
	}
	return ""
}

// watchHealth leaves a process behind that checks a container while it runs: there is no daemon, and the shim knows
// nothing of checks. Only containers with a check have one.
func (s *Service) watchHealth(c *Container) error {
	if c.Healthcheck() == nil || len(s.config.Program) == 0 {
		return nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append(slices.Clone(s.config.Program), "container", "health", c.ID), Dir: "/",
		Stdin: null, Stdout: null, Stderr: null, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("check the health of container %s: %w", c.Name, err)
	}
	return cmd.Process.Release()
}

// CheckHealth checks a container's health until that run of it has ended.
func (s *Service) CheckHealth(ctx context.Context, id string) error {
	c, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	check := c.Healthcheck()
	if check == nil || !c.Alive() {
		return nil
	}
	state := health.State{Status: health.Starting, Runtime: c.State.Runtime}
	begun := time.Now()
	for {
		ended := s.sleepOrEnd(ctx, c, state.Pause(check, time.Since(begun)))
		now, err := s.Get(ctx, id)
		var gone *NotFoundError
		if errors.As(err, &gone) || err == nil && (!now.Alive() || now.State.Runtime != c.State.Runtime) || ended {
			return nil
		}
		if err != nil {
			return err
		}
		if now.State.Paused {
			continue
		}
		before := state.Status
		state.Take(s.checkOnce(ctx, c, check), check, time.Since(begun))
		if err := s.saveHealth(c, state); err != nil {
			return err
		}
		if state.Status != before {
			s.event(c, "health_status: "+state.Status, nil)
		}
	}
}

// sleepOrEnd waits, and says whether the container has ended meanwhile.
func (s *Service) sleepOrEnd(ctx context.Context, c *Container, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	runtime, err := s.runtime()
	if err != nil {
		return true
	}
	_, err = runtime.Wait(ctx, c.State.Runtime)
	return err == nil || errors.Is(err, container.ErrNotFound)
}

func (s *Service) checkOnce(ctx context.Context, c *Container, check *health.Check) health.Result {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	output := &sharedBuffer{}
	r := health.Result{Start: time.Now()}
	runtime, err := s.runtime()
	if err == nil {
		o := container.ExecOptions{Command: check.Command()}
		o.Stdout, o.Stderr = output, output
		r.ExitCode, err = runtime.Exec(ctx, c.State.Runtime, o)
	}
	r.End = time.Now()
	r.Output = output.text()
	switch {
	case ctx.Err() != nil:
		r.ExitCode, r.Output = -1, fmt.Sprintf("Health check exceeded timeout (%s)", check.Timeout)
	case err != nil:
		r.ExitCode, r.Output = -1, err.Error()
	}
	return r
}

func (s *Service) saveHealth(c *Container, state health.State) error {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir(c.ID), healthFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// sharedBuffer keeps the beginning of what is written from both of a command's outputs.
type sharedBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *sharedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data.Write(p[:min(len(p), healthOutput-b.data.Len())])
	return len(p), nil
}

func (b *sharedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}
