package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/processes"
	"dhow/container/shim"
	"dhow/internal/filelock"
)

// startTime tells a process apart from a later one of the same number; 0 when it has ended.
func startTime(pid int) uint64 {
	start, living := processes.Life(pid)
	if !living {
		return 0
	}
	return start
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
		for {
			err := e.listen(ctx, s)
			lives := s.livesOn(ctx)
			if ctx.Err() != nil {
				return
			}
			if !lives {
				e.shimEnded(s)
				return
			}
			e.log.Error("shim does not answer", "pod", s.ID, "err", err)
		}
	})
}

// livesOn waits a second for the end of a shim that has hung up: its connections end before it does.
func (s *sandbox) livesOn(ctx context.Context) bool {
	deadline := time.After(time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.shimLives() {
		select {
		case <-tick.C:
		case <-deadline:
			return true
		case <-ctx.Done():
			return true
		}
	}
	return false
}

// listen takes up the start and the end of each container as the shim tells of them.
func (e *Engine) listen(ctx context.Context, s *sandbox) error {
	conn, err := shim.Dial(s.dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.Send(shim.Request{Op: shim.OpWatch}); err != nil {
		return err
	}
	first := true
	for {
		var reply shim.Reply
		if _, err := conn.Receive(&reply); err != nil {
			return err
		}
		if first {
			first = false
			e.catchUp(s) // with what happened before the shim listened to us
			continue
		}
		if c, err := e.container(reply.Changed); err == nil {
			e.refresh(c)
		}
	}
}

func (e *Engine) catchUp(s *sandbox) {
	for _, c := range e.containersOf(s) {
		e.refresh(c)
		if err := e.remakeLog(c); err != nil {
			e.log.Error("log cannot be reopened", "container", c.ID, "err", err)
		}
	}
}

// remakeLog ends a rotation that a crash cut short: the log was moved away, and the shim not told.
func (e *Engine) remakeLog(c *container) error {
	path := c.logPath()
	if path == "" || c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return e.ReopenContainerLog(context.Background(), c.ID)
}

// refresh reads a container's records and tells of what is new in them.
func (e *Engine) refresh(c *container) {
	c.news.Lock()
	defer c.news.Unlock()
	if c.told == cri.ContainerState_CONTAINER_EXITED {
		return
	}
	if err := c.readRecords(); err != nil {
		e.log.Error("records of a container cannot be read", "container", c.ID, "err", err)
	}
	c.mu.Lock()
	started, ended, start := c.started != 0, c.exit != nil, c.start
	c.mu.Unlock()
	e.tellRestart(c, start)
	if started && c.told == cri.ContainerState_CONTAINER_CREATED {
		c.told = cri.ContainerState_CONTAINER_RUNNING
		e.emit(cri.ContainerEventType_CONTAINER_STARTED_EVENT, c.ID, c.sandbox)
	}
	if ended {
		c.told = cri.ContainerState_CONTAINER_EXITED
		e.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, c.ID, c.sandbox)
	}
}

// tellRestart tells of an end that the container's restart policy followed, and of the next start. The caller holds news.
func (e *Engine) tellRestart(c *container, start shim.Start) {
	if start.Last != nil && start.Last.At > c.toldEnd && c.told == cri.ContainerState_CONTAINER_RUNNING {
		c.toldEnd, c.waits = start.Last.At, true
		e.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, c.ID, c.sandbox)
	}
	if c.waits && start.Pid != 0 {
		c.waits = false
		e.emit(cri.ContainerEventType_CONTAINER_STARTED_EVENT, c.ID, c.sandbox)
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
		if err := c.Cgroup.Kill(s.ShimPID); err != nil {
			e.log.Error("container cannot be killed", "container", c.ID, "err", err)
		}
		c.lost()
		e.refresh(c)
	}
	if err := e.stopSandbox(s); err != nil {
		e.log.Error("sandbox cannot be stopped", "pod", s.ID, "err", err)
	}
}

// clearAborted removes what a crash left half-made, of sandboxes and of containers.
func (e *Engine) clearAborted() error {
	entries, err := os.ReadDir(e.config.StateDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if s := e.sandboxes[entry.Name()]; s != nil {
			err = e.clearContainers(s)
		} else if entry.IsDir() {
			err = e.clearSandbox(entry.Name())
		}
		if err != nil {
			e.log.Error("something half-made cannot be removed", "pod", entry.Name(), "err", err)
		}
	}
	return e.clearBlocks()
}

// ClearHalfMade removes what a crash left half-made of the sandboxes whose metadata has this uid, for an engine that does
// not Run: the caller says that nobody is making them. Folders of which nothing is known go as well.
func (e *Engine) ClearHalfMade(uid string) error {
	entries, err := os.ReadDir(e.config.StateDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || !entry.IsDir() {
			continue
		}
		if s := e.sandboxes[entry.Name()]; s != nil {
			if s.config.GetMetadata().GetUid() == uid {
				err = errors.Join(err, e.clearContainers(s))
			}
			continue
		}
		s, e2 := e.loadSandbox(filepath.Join(e.config.StateDir, entry.Name()))
		if errors.Is(e2, fs.ErrNotExist) {
			err = errors.Join(err, e.clearUnknown(entry.Name()))
		} else if e2 == nil && s.config.GetMetadata().GetUid() == uid {
			err = errors.Join(err, e.clearSandbox(entry.Name()))
		}
	}
	return err
}

// clearUnknown removes the folder of a sandbox that has no record, if nobody is about to write that or to remove the rest.
func (e *Engine) clearUnknown(id string) error {
	unlock, err := e.lockFolders(filelock.Exclusive)
	if err != nil {
		return err
	}
	dir := filepath.Join(e.config.StateDir, id)
	_, err = os.Stat(filepath.Join(dir, sandboxFile))
	_, gone := os.Stat(dir)
	unlock()
	if gone != nil || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return e.clearSandbox(id)
}

func (e *Engine) clearContainers(s *sandbox) error {
	for _, id := range s.halfMade {
		c := &container{ID: id, sandbox: s, dir: filepath.Join(s.dir, containersDir, id), Cgroup: s.Cgroup.In(id)}
		if err := e.unmakeContainer(c); err != nil {
			return fmt.Errorf("remove half-made container %s: %w", id, err)
		}
		e.log.Info("removed a half-made container", "container", id)
	}
	s.halfMade = nil
	return nil
}

// clearSandbox removes one that never became ready, or whose record has gone already.
func (e *Engine) clearSandbox(id string) error {
	dir := filepath.Join(e.config.StateDir, id)
	s, err := e.loadSandbox(dir)
	if err != nil {
		s = &sandbox{ID: id, dir: dir, config: &cri.PodSandboxConfig{}}
	}
	s.ShimPID = shimOf(dir)
	s.Boot = startTime(s.ShimPID)
	if err := e.clearContainers(s); err != nil {
		return err
	}
	if err := e.unmake(s); err != nil {
		return fmt.Errorf("remove half-made sandbox %s: %w", id, err)
	}
	e.log.Info("removed a half-made sandbox", "pod", id)
	return nil
}

// shimOf is the shim of a folder, known by its arguments; 0 when there is none.
func shimOf(dir string) int {
	want := []byte(shim.Part + "\x00" + dir + "\x00")
	for _, pid := range processes.All() {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.HasPrefix(cmdline, want) {
			return pid
		}
	}
	return 0
}

// ask makes one request of a sandbox's shim.
func (s *sandbox) ask(r shim.Request, files ...*os.File) (shim.Reply, []*os.File, error) {
	var reply shim.Reply
	conn, err := shim.Dial(s.dir)
	if err != nil {
		return reply, nil, fmt.Errorf("shim: %w", err)
	}
	defer conn.Close()
	if err := conn.Send(r, files...); err != nil {
		return reply, nil, fmt.Errorf("shim: %w", err)
	}
	got, err := conn.Receive(&reply)
	if err != nil {
		return reply, nil, fmt.Errorf("shim: %w", err)
	}
	if reply.Error != "" {
		closeFiles(got)
		return reply, nil, errors.New(reply.Error)
	}
	return reply, got, nil
}
