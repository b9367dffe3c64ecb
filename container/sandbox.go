package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/container/confine"
	"dhow/container/program"
	"dhow/container/shim"
	"dhow/internal/filelock"
)

// RunPodSandbox implements Runtime.
func (e *Engine) RunPodSandbox(ctx context.Context, config *cri.PodSandboxConfig, handler string) (string, error) {
	if handler != "" && handler != handlerName {
		return "", fmt.Errorf("no runtime handler %q is configured (there is: dhow)", handler)
	}
	if config == nil {
		return "", errors.New("run sandbox: it has no configuration")
	}
	s := &sandbox{ID: newID(), Created: time.Now().UnixNano(), config: config, containers: map[string]*container{}}
	s.dir = filepath.Join(e.config.StateDir, s.ID)
	s.Cgroup = e.parent().In("pod" + s.ID[:12])
	if p := config.GetLinux().GetCgroupParent(); p != "" {
		s.Cgroup = e.parent().In(p)
	}
	if err := s.check(); err != nil {
		return "", fmt.Errorf("run sandbox of pod %s/%s: %w", config.GetMetadata().GetNamespace(), config.GetMetadata().GetName(), err)
	}
	if err := e.makeSandbox(ctx, s); err != nil {
		return "", errors.Join(fmt.Errorf("run sandbox of pod %s/%s: %w", config.GetMetadata().GetNamespace(), config.GetMetadata().GetName(), err), e.unmake(s))
	}
	e.mu.Lock()
	e.sandboxes[s.ID] = s
	if e.run != nil {
		e.follow(s)
	}
	e.mu.Unlock()
	e.emit(cri.ContainerEventType_CONTAINER_STARTED_EVENT, s.ID, s)
	return s.ID, nil
}

// beginSandbox makes the sandbox's folder and its record, so that whoever finds the one knows whose it is by the other.
func (e *Engine) beginSandbox(s *sandbox) error {
	unlock, err := e.lockFolders(filelock.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(filepath.Join(s.dir, containersDir), 0o700); err != nil {
		return err
	}
	if err := e.chooseUsers(s); err != nil {
		return err
	}
	return s.record(s.config)
}

// lockFolders is shared by those who make or remove a sandbox's folder while it has no record; who has it alone knows that such a
// folder is nobody's.
func (e *Engine) lockFolders(how filelock.How) (unlock func(), err error) {
	return filelock.Lock(filepath.Join(e.config.StateDir, foldersFile), how)
}

func (e *Engine) makeSandbox(ctx context.Context, s *sandbox) error {
	if err := e.beginSandbox(s); err != nil {
		return err
	}
	if err := s.writeFiles(); err != nil {
		return err
	}
	dirs, err := e.makeSandboxGroup(s)
	if err != nil {
		return err
	}
	exe, err := e.program.Open()
	if err != nil {
		return err
	}
	defer exe.Close()
	if err := s.startShim(exe, dirs); err != nil {
		return err
	}
	if s.ownNetwork() && e.config.Network != nil {
		addresses, err := e.config.Network.Attach(ctx, s.ID, fmt.Sprintf("/proc/%d/ns/net", s.ShimPID), s.config)
		if err != nil {
			return fmt.Errorf("connect to the pod network: %w", err)
		}
		for _, a := range addresses {
			s.IPs = append(s.IPs, a.String())
		}
	}
	if dir := s.config.LogDirectory; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	s.Ready = true
	return s.save()
}

// shimGroup is beside the containers' groups: version 2 wants no processes in a group that has groups.
func (s *sandbox) shimGroup() cgroups.Group { return s.Cgroup.In("shim-" + s.ID[:12]) }

func (e *Engine) makeSandboxGroup(s *sandbox) ([]string, error) {
	if r := s.config.GetLinux().GetResources(); r != nil {
		limits, err := cgroups.FromCRI(r)
		if err != nil {
			return nil, err
		}
		if _, err := s.Cgroup.Make(limits); err != nil {
			return nil, err
		}
	}
	return s.shimGroup().Make(&cgroups.Limits{SkipDevices: true})
}

func (s *sandbox) namespaces() *cri.NamespaceOption {
	if ns := s.config.GetLinux().GetSecurityContext().GetNamespaceOptions(); ns != nil {
		return ns
	}
	return &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}
}

func (s *sandbox) ownNetwork() bool { return s.namespaces().Network != cri.NamespaceMode_NODE }

// owned are the namespaces, as CLONE_NEW… flags, that the pod has of its own and its containers share.
func (s *sandbox) owned() uint64 {
	ns, own := s.namespaces(), uint64(0)
	if ns.Network != cri.NamespaceMode_NODE {
		own |= unix.CLONE_NEWNET | unix.CLONE_NEWUTS
	}
	if ns.Ipc != cri.NamespaceMode_NODE {
		own |= unix.CLONE_NEWIPC
	}
	if ns.Pid == cri.NamespaceMode_POD {
		own |= unix.CLONE_NEWPID
	}
	return own
}

// check refuses what would change the machine.
func (s *sandbox) check() error {
	for name := range s.config.GetLinux().GetSysctls() {
		if err := confine.CheckSysctl(name, func(kind uint64) bool { return s.owned()&kind != 0 }); err != nil {
			return err
		}
	}
	return nil
}

// startShim runs this program's shim in namespaces of the pod's own, and waits until it serves.
func (s *sandbox) startShim(exe *os.File, cgroupDirs []string) error {
	setup := shim.Setup{OwnNetwork: s.ownNetwork(), Sysctls: s.config.GetLinux().GetSysctls(), UserNS: s.Users != nil}
	flags := uintptr(s.owned())
	if s.ownNetwork() {
		setup.Hostname = s.config.Hostname
	}
	text, err := json.Marshal(setup)
	if err != nil {
		return err
	}
	listener, err := shim.Listen(s.dir)
	if err != nil {
		return fmt.Errorf("make the shim's socket: %w", err)
	}
	defer listener.Close()
	var h *holder
	if s.Users != nil {
		if h, err = s.hold(exe, flags); err != nil {
			return err
		}
		defer h.close()
		flags = 0
	}
	report, err := s.fork(exe, listener, string(text), flags, cgroupDirs, h)
	if err != nil {
		return fmt.Errorf("start shim: %w", err)
	}
	defer report.Close()
	problem, err := io.ReadAll(report)
	if err == nil && len(problem) > 0 {
		err = errors.New(string(problem))
	}
	return err
}

// fork starts the shim in a session of its own, so that it outlives the daemon.
func (s *sandbox) fork(exe, listener *os.File, setup string, flags uintptr, cgroupDirs []string, h *holder) (report *os.File, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			read.Close()
		}
	}()
	defer write.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	complaints, err := os.OpenFile(filepath.Join(s.dir, "shim.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer complaints.Close()
	attr := &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=2", "GOGC=20"}, // it makes little garbage, and should stay small
		Files: []*os.File{null, null, complaints, listener, write},
		Sys:   &syscall.SysProcAttr{Setsid: true, Cloneflags: flags},
	}
	if h != nil {
		attr.Files = append(attr.Files, h.user, h.keep)
	}
	var p *os.Process
	err = shim.InGroups(cgroupDirs, func(group *os.File) (err error) {
		if group != nil {
			attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(group.Fd())
		}
		if err := h.enter(); err != nil {
			return err
		}
		p, err = program.Start(exe, []string{shim.Part, s.dir, setup}, attr)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.ShimPID, s.Boot = p.Pid, startTime(p.Pid)
	go func() { _, _ = p.Wait() }() // while the daemon lives it must reap its child
	return read, nil
}

// StopPodSandbox implements Runtime.
func (e *Engine) StopPodSandbox(_ context.Context, id string) error {
	s, err := e.sandbox(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.stopSandbox(s)
}

func (e *Engine) stopSandbox(s *sandbox) error {
	if s.Stopped {
		return nil
	}
	if err := e.endShim(s); err != nil {
		return fmt.Errorf("stop sandbox %s: %w", s.ID, err)
	}
	if e.config.Network != nil && s.ownNetwork() {
		if err := e.config.Network.Detach(context.Background(), s.ID); err != nil {
			return fmt.Errorf("stop sandbox %s: %w", s.ID, err)
		}
	}
	s.Stopped = true
	if err := s.save(); err != nil {
		return err
	}
	e.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, s.ID, s)
	return nil
}

// endShim kills the containers, then the shim with the pod's namespaces.
func (e *Engine) endShim(s *sandbox) error {
	for _, c := range e.containersOf(s) {
		if c.state() == cri.ContainerState_CONTAINER_RUNNING {
			if err := c.Cgroup.Thaw(); err != nil { // what is frozen cannot end
				return err
			}
		}
	}
	if s.shimLives() {
		if conn, err := shim.Dial(s.dir); err == nil {
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			var reply shim.Reply
			if conn.Send(shim.Request{Op: shim.OpQuit}) == nil {
				_, _ = conn.Receive(&reply)
			}
			conn.Close()
		}
	}
	for _, c := range e.containersOf(s) {
		if err := c.Cgroup.Kill(s.ShimPID); err != nil {
			return err
		}
	}
	if s.shimLives() {
		_ = unix.Kill(s.ShimPID, unix.SIGKILL)
	}
	for _, c := range e.containersOf(s) {
		c.lost()
	}
	return nil
}

// lost settles containers whose shim cannot say any more how they ended. It may have started them since anybody looked.
func (c *container) lost() {
	_ = c.readRecords() // what cannot be read is not known
	if c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return
	}
	exit := shim.Exit{Code: 137, Signal: int(unix.SIGKILL), At: time.Now().UnixNano()}
	_ = writeJSON(filepath.Join(c.dir, exitFile), exit)
	c.setExit(exit)
}

func (e *Engine) containersOf(s *sandbox) []*container {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*container
	for _, c := range s.containers {
		all = append(all, c)
	}
	return all
}

// RemovePodSandbox implements Runtime.
func (e *Engine) RemovePodSandbox(ctx context.Context, id string) error {
	s, err := e.sandbox(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := e.stopSandbox(s); err != nil {
		return err
	}
	for _, c := range e.containersOf(s) {
		if err := e.RemoveContainer(ctx, c.ID); err != nil {
			return err
		}
	}
	if err := e.unmake(s); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", id, err)
	}
	e.mu.Lock()
	delete(e.sandboxes, id)
	e.mu.Unlock()
	e.emit(cri.ContainerEventType_CONTAINER_DELETED_EVENT, id, s)
	return nil
}

// unmake removes what a sandbox has on the machine, however far its making got.
func (e *Engine) unmake(s *sandbox) error {
	if s.shimLives() {
		_ = unix.Kill(s.ShimPID, unix.SIGKILL)
	}
	var failed error
	if e.config.Network != nil && s.ownNetwork() {
		failed = e.config.Network.Detach(context.Background(), s.ID)
	}
	if err := waitGone(s); err != nil {
		return errors.Join(failed, err)
	}
	if s.Cgroup != "" {
		failed = errors.Join(failed, s.shimGroup().Kill(), s.shimGroup().Remove())
		s.Cgroup.RemoveEmpty(e.parent())
	}
	return errors.Join(failed, e.releaseUsers(s), e.removeFolder(s))
}

func (e *Engine) removeFolder(s *sandbox) error {
	unlock, err := e.lockFolders(filelock.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	return os.RemoveAll(s.dir)
}
