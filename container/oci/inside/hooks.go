package inside

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// State is what hooks read on their standard input (runtime-spec, runtime.md, "State").
type State = shim.State

// hooks runs those of one name in the container.
func (c *Container) hooks(name, status string) error {
	state := State{Version: c.Version, ID: c.ID, Status: status, Pid: os.Getpid(), Bundle: c.Bundle, Annotations: c.Annotations}
	return RunHooks(name, c.Hooks[name], state, false)
}

// RunHooks runs programs one after the other until one fails, or all of them where last is set: what is at its end cannot
// be stopped by a hook.
func RunHooks(name string, hooks []Hook, state State, last bool) error {
	if len(hooks) == 0 {
		return nil
	}
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var failed []error
	for i, h := range hooks {
		if err := h.run(data); err != nil {
			failed = append(failed, fmt.Errorf("error running %s hook #%d: %s: %w", name, i, h.Path, err))
			if !last {
				break
			}
		}
	}
	return errors.Join(failed...)
}

// run gives the hook the state and waits for it.
func (h *Hook) run(state []byte) error {
	in, err := shim.MemoryFile(state)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := shim.MemoryFile(nil)
	if err != nil {
		return err
	}
	defer out.Close()
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	env := h.Env
	if env == nil {
		env = []string{} // nil would be this process' own
	}
	pid, err := syscall.ForkExec(h.Path, args, &syscall.ProcAttr{Env: env, Files: []uintptr{in.Fd(), out.Fd(), out.Fd()}})
	if err != nil {
		return err
	}
	ended := make(chan unix.WaitStatus, 1)
	go func() { ended <- wait(pid) }()
	var late <-chan time.Time
	if h.Timeout != nil && *h.Timeout > 0 {
		late = time.After(time.Duration(*h.Timeout) * time.Second)
	}
	select {
	case status := <-ended:
		return hookEnd(status, out)
	case <-late:
		_ = unix.Kill(pid, unix.SIGKILL)
		<-ended
		return fmt.Errorf("hook ran past specified timeout of %.1fs", float64(*h.Timeout))
	}
}

func hookEnd(status unix.WaitStatus, out *os.File) error {
	said := make([]byte, 4096)
	n, _ := out.ReadAt(said, 0)
	said = bytes.TrimSpace(said[:n])
	switch {
	case status.Signaled():
		return fmt.Errorf("signal: %s, output: %s", status.Signal(), said)
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d, output: %s", status.ExitStatus(), said)
	default:
		return nil
	}
}

func wait(pid int) unix.WaitStatus {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return status
		}
	}
}
