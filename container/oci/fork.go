package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"dhow/container/oci/inside"
	"dhow/container/program"
	"dhow/container/shim"
	"dhow/container/shim/nofile"
	"dhow/container/shim/spawn"
)

// files are what a part is started with: 0, 1, 2, those that its command keeps, and its own from base on.
type files struct {
	all  []*os.File
	base int
	own  []*os.File // to be closed
}

// newFiles begins with the standard streams and the preserved descriptors; the spec and the socket have their places.
func newFiles(std [3]*os.File, preserve int) *files {
	f := &files{all: std[:]}
	for i := range preserve {
		f.all = append(f.all, os.NewFile(uintptr(3+i), "preserved "+strconv.Itoa(i)))
	}
	f.base = len(f.all)
	f.all = append(f.all, nil, nil)
	return f
}

// add gives the part a file, which is closed here afterwards, and returns the number that it has there.
func (f *files) add(file *os.File) int {
	f.all, f.own = append(f.all, file), append(f.own, file)
	return len(f.all) - 1
}

func (f *files) close() {
	for _, file := range f.own {
		file.Close()
	}
}

// child is a part that has been started.
type child struct {
	pid    int
	socket *os.File
}

// launch is how init or an entrance is started.
type launch struct {
	part    string // inside.Init or inside.Join
	spec    any    // what it reads
	files   *files
	command *spawn.Command
	groups  []string     // directories of the control groups that it is in from its first moment
	pidNS   *os.File     // the process id namespace to be in; nil: this process'
	cpus    *unix.CPUSet // the processors that it is started on, before it is in groups; nil: any
}

// start starts a part, which is then this process' child and waits for goOn.
func (r *Runtime) start(l *launch) (*child, error) {
	exe, err := program.New(r.config.Program, filepath.Join(r.config.Root, programDir)).Open()
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	data, err := json.Marshal(l.spec)
	if err != nil {
		return nil, err
	}
	f := l.files
	if f.all[f.base], err = shim.MemoryFile(data); err != nil {
		return nil, err
	}
	defer f.all[f.base].Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f.all[f.base+1] = os.NewFile(uintptr(pair[1]), "its socket")
	defer f.all[f.base+1].Close()
	started := &child{socket: os.NewFile(uintptr(pair[0]), "socket")}
	c := l.command
	c.Program, c.Args, c.Files = exe, []string{l.part, strconv.Itoa(f.base)}, f.all
	c.Env, c.Setsid = []string{"GOMAXPROCS=1", "GOGC=off"}, true
	c.NoFile = &unix.Rlimit{Cur: nofile.Original.Cur, Max: nofile.Original.Max}
	err = shim.OnThread(func() (err error) {
		started.pid, err = l.fork()
		return err
	})
	if err != nil {
		started.socket.Close()
		return nil, err
	}
	return started, nil
}

// fork is called on a thread that changes on its way to what the child is to be.
func (l *launch) fork() (pid int, err error) {
	if l.cpus != nil {
		if err := unix.SchedSetaffinity(0, l.cpus); err != nil {
			return 0, fmt.Errorf("process.execCPUAffinity.initial: %w", err)
		}
	}
	err = shim.JoinGroups(l.groups, func(group *os.File) (err error) {
		if l.pidNS != nil {
			if err := unix.Setns(int(l.pidNS.Fd()), unix.CLONE_NEWPID); err != nil {
				return fmt.Errorf("join pid namespace: %w", err)
			}
		}
		l.command.Cgroup = group
		pid, err = spawn.Start(l.command)
		return err
	})
	return pid, err
}

// goOn lets the part do its next step.
func (c *child) goOn() error {
	_, err := unix.Write(int(c.socket.Fd()), []byte("g"))
	if errors.Is(err, unix.EPIPE) {
		return nil // what it has said before it ended is still to be read
	}
	return err
}

// hear waits for what the part says; nothing is said by one that has become its command.
func (c *child) hear() (inside.Message, error) {
	var m inside.Message
	buffer := make([]byte, 64<<10)
	n, err := c.socket.Read(buffer)
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
		return m, io.EOF
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(buffer[:n], &m); err != nil {
		return m, err
	}
	if m.Error != "" {
		return m, &inside.Failure{Code: m.Code, Message: m.Error}
	}
	return m, nil
}

// expect waits for a step.
func (c *child) expect(step string) error {
	m, err := c.hear()
	if errors.Is(err, io.EOF) {
		return errors.New("init ended without a word: a seccomp profile or the want of memory may have killed it")
	}
	if err == nil && m.Step != step {
		err = fmt.Errorf("init said %q in place of %q", m.Step, step)
	}
	return err
}

// end kills the part and reaps it.
func (c *child) end() {
	_ = unix.Kill(c.pid, unix.SIGKILL)
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(c.pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
