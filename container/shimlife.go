package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
)

// startTime is when a process started, in clock ticks since boot (proc_pid_stat(5), field 22); 0 when it is gone.
func startTime(pid int) uint64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	end := bytes.LastIndexByte(data, ')') // the name may hold anything
	fields := bytes.Fields(data[end+1:])
	if end < 0 || len(fields) < 20 || bytes.Equal(fields[0], []byte("Z")) {
		return 0
	}
	ticks, _ := strconv.ParseUint(string(fields[19]), 10, 64)
	return ticks
}

func (s *sandbox) shimLives() bool {
	return s.ShimPID > 0 && s.Boot != 0 && startTime(s.ShimPID) == s.Boot
}

// waitGone waits for a shim that was told to end.
func waitGone(s *sandbox) error {
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.shimLives() {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("shim %d of sandbox %s does not end", s.ShimPID, s.ID)
		}
	}
	return nil
}

// follow listens to a sandbox's shim until it ends or Run does. The caller holds mu.
func (e *Engine) follow(s *sandbox) {
	ctx := e.run
	e.watchers.Go(func() {
		err := e.listen(ctx, s)
		if ctx.Err() != nil {
			return
		}
		if s.shimLives() {
			e.log.Error("shim does not answer", "pod", s.ID, "err", err)
			return
		}
		e.shimEnded(s)
	})
}

// listen takes up the end of each container as the shim tells of it.
func (e *Engine) listen(ctx context.Context, s *sandbox) error {
	conn, err := shim.Dial(s.dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := shim.Send(conn, shim.Request{Op: shim.OpWatch}); err != nil {
		return err
	}
	first := true
	for {
		var reply shim.Reply
		if _, err := shim.Receive(conn, &reply); err != nil {
			return err
		}
		if first {
			first = false
			e.catchUp(s) // what ended before the shim listened to us
			continue
		}
		if c, err := e.container(reply.Exited); err == nil {
			e.containerEnded(c)
		}
	}
}

func (e *Engine) catchUp(s *sandbox) {
	for _, c := range e.containersOf(s) {
		if c.state() == cri.ContainerState_CONTAINER_RUNNING {
			e.containerEnded(c)
		}
	}
}

func (e *Engine) containerEnded(c *container) {
	if err := c.readExit(); err != nil {
		e.log.Error("end of a container cannot be read", "container", c.ID, "err", err)
	}
	if c.state() == cri.ContainerState_CONTAINER_EXITED {
		e.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, c.ID, c.sandbox)
	}
}

// shimEnded: it was killed, or told to quit. Its containers went with it, or are made to.
func (e *Engine) shimEnded(s *sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Stopped {
		return
	}
	e.log.Info("sandbox has ended", "pod", s.config.GetMetadata().GetNamespace()+"/"+s.config.GetMetadata().GetName())
	for _, c := range e.containersOf(s) {
		wasRunning := c.state() == cri.ContainerState_CONTAINER_RUNNING
		if err := killGroup(c.Cgroup); err != nil {
			e.log.Error("container cannot be killed", "container", c.ID, "err", err)
		}
		c.lost()
		if wasRunning {
			e.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, c.ID, s)
		}
	}
	if err := e.stopSandbox(s); err != nil {
		e.log.Error("sandbox cannot be stopped", "pod", s.ID, "err", err)
	}
}

// clearAborted removes folders without a record: a crash came between their making and the record.
func (e *Engine) clearAborted() error {
	entries, err := os.ReadDir(e.config.StateDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		dir := filepath.Join(e.config.StateDir, entry.Name())
		if !entry.IsDir() || e.sandboxes[entry.Name()] != nil {
			continue
		}
		killShimOf(dir)
		if e.config.Network != nil {
			if err := e.config.Network.Detach(context.Background(), entry.Name()); err != nil {
				return err
			}
		}
		e.log.Info("removed a half-made sandbox", "pod", entry.Name())
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// killShimOf ends the shim that listens in a folder, known by its arguments.
func killShimOf(dir string) {
	want := []byte(shim.Part + "\x00" + dir + "\x00")
	for _, pid := range processes() {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.HasPrefix(cmdline, want) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ask makes one request of a sandbox's shim.
func (s *sandbox) ask(r shim.Request, files ...*os.File) (shim.Reply, []*os.File, error) {
	var reply shim.Reply
	conn, err := shim.Dial(s.dir)
	if err != nil {
		return reply, nil, fmt.Errorf("shim: %w", err)
	}
	defer conn.Close()
	if err := shim.Send(conn, r, files...); err != nil {
		return reply, nil, fmt.Errorf("shim: %w", err)
	}
	got, err := shim.Receive(conn, &reply)
	if err != nil {
		return reply, nil, fmt.Errorf("shim: %w", err)
	}
	if reply.Error != "" {
		return reply, got, errors.New(reply.Error)
	}
	return reply, got, nil
}
