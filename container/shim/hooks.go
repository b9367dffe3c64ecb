package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// State is what hooks read on their standard input (runtime-spec, runtime.md, "State").
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Pid         int               `json:"pid,omitempty"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// StateVersion is the version of the runtime specification that State follows.
const StateVersion = "1.3.0"

func (c *Container) state(status string, pid int) ([]byte, error) {
	return json.Marshal(State{
		Version: StateVersion, ID: c.ID, Status: status, Pid: pid, Bundle: path.Dir(c.Start), Annotations: c.Annotations,
	})
}

// runHooks runs those of one name beside the container.
func (s *server) runHooks(c *container, r *run, name, status string) error {
	for _, h := range c.spec.Hooks[name] {
		state, err := c.spec.state(status, r.pid)
		if err != nil {
			return err
		}
		ended := make(chan unix.WaitStatus, 1)
		err = runHook(h, state, func(attr *syscall.ProcAttr) (int, error) {
			s.mu.Lock() // no child is reaped before it is put down
			defer s.mu.Unlock()
			pid, err := syscall.ForkExec(h.Path, hookArgs(h), attr)
			if err == nil {
				s.children[pid] = func(status unix.WaitStatus) { ended <- status }
			}
			select {
			case s.forked <- struct{}{}:
			default:
			}
			return pid, err
		}, ended)
		if err != nil {
			return fmt.Errorf("hook %s %s: %w", name, h.Path, err)
		}
	}
	return nil
}

// hooksInside runs those of one name in init, whose children nobody else reaps.
func hooksInside(c *Container, name string) error {
	for _, h := range c.Hooks[name] {
		state, err := c.state("created", os.Getpid())
		if err != nil {
			return err
		}
		ended := make(chan unix.WaitStatus, 1)
		err = runHook(h, state, func(attr *syscall.ProcAttr) (int, error) {
			pid, err := syscall.ForkExec(h.Path, hookArgs(h), attr)
			if err != nil {
				return 0, err
			}
			go func() {
				var status unix.WaitStatus
				_, err := unix.Wait4(pid, &status, 0, nil)
				for errors.Is(err, unix.EINTR) {
					_, err = unix.Wait4(pid, &status, 0, nil)
				}
				ended <- status
			}()
			return pid, nil
		}, ended)
		if err != nil {
			return fmt.Errorf("hook %s %s: %w", name, h.Path, err)
		}
	}
	return nil
}

func hookArgs(h Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// runHook starts a hook, gives it the state and waits for it.
func runHook(h Hook, state []byte, start func(*syscall.ProcAttr) (int, error), ended <-chan unix.WaitStatus) error {
	input, err := MemoryFile(state)
	if err != nil {
		return err
	}
	defer input.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	pid, err := start(&syscall.ProcAttr{Dir: "/", Env: h.Env, Files: []uintptr{input.Fd(), null.Fd(), null.Fd()}})
	if err != nil {
		return err
	}
	var late <-chan time.Time
	if h.Timeout > 0 {
		late = time.After(time.Duration(h.Timeout) * time.Second)
	}
	select {
	case status := <-ended:
		if n, _ := code(status); n != 0 {
			return fmt.Errorf("exit code %d", n)
		}
		return nil
	case <-late:
		_ = unix.Kill(pid, unix.SIGKILL)
		<-ended
		return fmt.Errorf("not done after %d s", h.Timeout)
	}
}
