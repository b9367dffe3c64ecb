package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/program"
	"dhow/container/shim"
	"dhow/internal/filelock"
)

// users are the ids that a pod's user namespace has on the machine.
type users struct {
	UIDs []*cri.IDMapping `json:"uids"`
	GIDs []*cri.IDMapping `json:"gids"`
	// Block is the automatic range that the pod has; 0: its ids were chosen by who made it.
	Block uint32 `json:"block,omitempty"`
}

// Automatic ranges: block n has the ids from n times 65536. The first ones belong to the machine's own users, and to
// those that /etc/subuid usually gives to its people.
const (
	blockSize  = 1 << 16
	firstBlock = 16
	lastBlock  = 1<<15 - 1
	idsDir     = ".ids"
)

// ownUsers says whether the pod has a user namespace of its own.
func (s *sandbox) ownUsers() bool {
	u := s.namespaces().GetUsernsOptions()
	return u != nil && u.Mode == cri.NamespaceMode_POD
}

// chooseUsers takes the ids that the configuration asks for, or a range that no other pod has.
func (e *Engine) chooseUsers(s *sandbox) error {
	if !s.ownUsers() {
		return nil
	}
	if s.namespaces().Network == cri.NamespaceMode_NODE {
		return errors.New("a pod with a user namespace of its own cannot have the node's network")
	}
	if s.namespaces().Pid == cri.NamespaceMode_NODE || s.namespaces().Ipc == cri.NamespaceMode_NODE {
		return errors.New("a pod with a user namespace of its own cannot have the node's processes or IPC")
	}
	o := s.namespaces().UsernsOptions
	u := &users{UIDs: o.Uids, GIDs: o.Gids}
	if len(u.UIDs) == 0 && len(u.GIDs) == 0 {
		block, err := e.takeBlock(s.ID)
		if err != nil {
			return err
		}
		u.Block = block
		u.UIDs = []*cri.IDMapping{{HostId: block * blockSize, Length: blockSize}}
		u.GIDs = u.UIDs
	}
	s.Users = u
	for what, list := range map[string][]*cri.IDMapping{"user": u.UIDs, "group": u.GIDs} {
		if _, ok := hostID(list, 0); !ok {
			return fmt.Errorf("the user namespace's mapping has no %s 0", what)
		}
	}
	return nil
}

// takeBlock finds a range that is free. Whoever makes the file has it, also among several processes.
func (e *Engine) takeBlock(id string) (uint32, error) {
	dir := filepath.Join(e.config.StateDir, idsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	for block := uint32(firstBlock); block <= lastBlock; block++ {
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(int(block))), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		_, err = f.WriteString(id)
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
		return block, err
	}
	return 0, errors.New("all ranges of ids for user namespaces are taken")
}

// releaseUsers gives an automatic range back.
func (e *Engine) releaseUsers(s *sandbox) error {
	if s.Users == nil || s.Users.Block == 0 {
		return nil
	}
	err := os.Remove(filepath.Join(e.config.StateDir, idsDir, strconv.Itoa(int(s.Users.Block))))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// clearBlocks gives back what sandboxes had that are no more. Whoever takes a range has not made its record yet.
func (e *Engine) clearBlocks() error {
	dir := filepath.Join(e.config.StateDir, idsDir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := e.lockFolders(filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		owner, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(e.config.StateDir, string(owner))); len(owner) > 0 && err == nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// hostID is what an id of the namespace is on the machine.
func hostID(list []*cri.IDMapping, id uint32) (uint32, bool) {
	for _, m := range list {
		if id >= m.ContainerId && id-m.ContainerId < m.Length {
			return m.HostId + id - m.ContainerId, true
		}
	}
	return 0, false
}

func sysMappings(list []*cri.IDMapping) []syscall.SysProcIDMap {
	var all []syscall.SysProcIDMap
	for _, m := range list {
		all = append(all, syscall.SysProcIDMap{ContainerID: int(m.ContainerId), HostID: int(m.HostId), Size: int(m.Length)})
	}
	return all
}

// holder is the process that the namespaces of a pod with users of its own begin with. Where the containers share
// their processes it stays, as the first of them, as long as the shim does; otherwise it has done its work when the
// shim has started.
type holder struct {
	process *os.Process
	user    *os.File
	spaces  []heldNamespace
	keep    *os.File // its input: it ends when nobody has this any more
}

type heldNamespace struct {
	file *os.File
	kind int
}

// hold starts the holder in new namespaces.
func (s *sandbox) hold(exe *os.File, flags uintptr) (_ *holder, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := &holder{keep: w}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	h.process, err = program.Start(exe, []string{shim.Holder, s.dir}, &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Files: []*os.File{r, null, null},
		Sys: &syscall.SysProcAttr{
			Setsid: true, Cloneflags: flags | unix.CLONE_NEWUSER, GidMappingsEnableSetgroups: true,
			UidMappings: sysMappings(s.Users.UIDs), GidMappings: sysMappings(s.Users.GIDs),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	go func() { _, _ = h.process.Wait() }() // while the daemon lives it must reap its child
	open := func(name string) (*os.File, error) {
		return os.Open(fmt.Sprintf("/proc/%d/ns/%s", h.process.Pid, name))
	}
	if h.user, err = open("user"); err != nil {
		return nil, err
	}
	for name, kind := range map[string]int{"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "pid": unix.CLONE_NEWPID} {
		if flags&uintptr(kind) == 0 {
			continue
		}
		f, err := open(name)
		if err != nil {
			return nil, err
		}
		h.spaces = append(h.spaces, heldNamespace{f, kind})
	}
	return h, nil
}

// enter moves the calling thread, which must not be used for anything else then, into the namespaces.
func (h *holder) enter() error {
	if h == nil {
		return nil
	}
	for _, n := range h.spaces {
		if err := unix.Setns(int(n.file.Fd()), n.kind); err != nil {
			return fmt.Errorf("join the pod's namespaces: %w", err)
		}
	}
	return nil
}

func (h *holder) close() {
	if h == nil {
		return
	}
	h.keep.Close()
	if h.user != nil {
		h.user.Close()
	}
	for _, n := range h.spaces {
		n.file.Close()
	}
}
