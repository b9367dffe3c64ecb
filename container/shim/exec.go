package shim

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container/shim/spawn"
)

// exec runs a further command in a container. The first reply says that it runs, the second how it ended; when
// the client goes before that, the command is killed.
func (s *server) exec(conn Conn, r Request, files []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	if r.Process == nil {
		return Reply{}, fmt.Errorf("exec without a process")
	}
	std, session, err := c.execStreams(r, files)
	if err != nil {
		return Reply{}, err
	}
	defer session.close()
	ended := make(chan unix.WaitStatus, 1)
	pid, err := s.join(c, *r.Process, std, func(status unix.WaitStatus) { ended <- status })
	closeAll(std)
	if err != nil {
		return Reply{}, err
	}
	if err := conn.Send(Reply{Pid: pid}); err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	over := make(chan struct{})
	go follow(conn, session, pid, over)
	status := <-ended
	close(over)
	session.drain()
	exit := Exit{At: time.Now().UnixNano()}
	exit.Code, exit.Signal = code(status)
	return Reply{Exit: &exit}, nil
}

// follow does what a client says while its command runs, and kills the command when the client goes.
func follow(conn Conn, session *session, pid int, over <-chan struct{}) {
	for {
		var r Request
		files, err := conn.Receive(&r)
		closeAll(files)
		if err != nil {
			select {
			case <-over: // its number may be another's by now
			default:
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			return
		}
		if r.Op == OpResize && session.tty != nil {
			_ = resize(session.tty, r.Width, r.Height)
		}
	}
}

// session is a command's terminal, if it has one, and the copying to and from it.
type session struct {
	tty *os.File
	out chan struct{}
}

// execStreams are the client's own descriptors, or a terminal that is copied to them.
func (c *container) execStreams(r Request, files []*os.File) ([]*os.File, *session, error) {
	var in, out, errs *os.File
	next := func(has bool) *os.File {
		if !has || len(files) == 0 {
			return nil
		}
		f := files[0]
		files = files[1:]
		return f
	}
	in, out, errs = next(r.Input), next(r.Output), next(r.Errors)
	if !r.Process.TTY {
		std := make([]*os.File, 0, 3)
		for _, f := range []*os.File{in, out, errs} {
			dup, err := duplicate(f)
			if err != nil {
				closeAll(std)
				return nil, nil, err
			}
			std = append(std, dup)
		}
		return std, &session{}, nil
	}
	master, slave, err := openTerminal(c.current().pts)
	if err != nil {
		return nil, nil, err
	}
	_ = slave.Chown(int(c.spec.HostUID), -1)
	if r.Width > 0 {
		_ = resize(master, r.Width, r.Height)
	}
	s := &session{tty: master, out: make(chan struct{})}
	go func() {
		defer close(s.out)
		if out != nil {
			_, _ = io.Copy(out, master)
		} else {
			_, _ = io.Copy(io.Discard, master)
		}
	}()
	if in != nil {
		go func() { _, _ = io.Copy(master, in) }()
	}
	return []*os.File{slave, slave, slave}, s, nil
}

// duplicate gives a child a descriptor that is not ours to close twice; a missing one is /dev/null.
func duplicate(f *os.File) (*os.File, error) {
	if f == nil {
		return os.OpenFile(os.DevNull, os.O_RDWR, 0)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (s *session) drain() {
	if s.out == nil {
		return
	}
	select {
	case <-s.out:
	case <-time.After(2 * time.Second): // what the command left behind holds the terminal
	}
}

func (s *session) close() {
	if s.tty != nil {
		s.tty.Close()
	}
}

// entered are the namespaces that a command may have to enter to be where its container is. User and time namespaces
// are no part: entering the one that one is in already is an error.
const entered = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// join forks the entrance, by a thread whose pid namespace for children is the container's.
func (s *server) join(c *container, p Process, std []*os.File, done func(unix.WaitStatus)) (int, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	spec, err := MemoryFile(data)
	if err != nil {
		return 0, err
	}
	defer spec.Close()
	problems, report, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer problems.Close()
	at := c.current().pidfd
	command := &spawn.Command{
		Args: []string{joinPart}, Files: append(std[:3:3], spec, report), Setsid: p.TTY, Root: c.spec.UserNS,
		Join: []spawn.Join{{File: at, Kinds: c.kinds()}},
	}
	pid := 0
	err = InGroups(c.spec.Cgroups, func(group *os.File) error {
		if err := unix.Setns(int(at.Fd()), unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("join the container's pid namespace: %w", err)
		}
		command.Cgroup = group
		var pidfd *os.File
		var err error
		if pid, pidfd, err = s.spawn(command, done); err == nil {
			pidfd.Close()
		}
		return err
	})
	report.Close()
	if err != nil {
		return 0, err
	}
	_, err = readReport(problems)
	return pid, err
}

func (c *container) kinds() int {
	kinds := entered
	if c.spec.UserNS {
		kinds |= unix.CLONE_NEWUSER
	}
	if c.spec.Clocks != "" {
		kinds |= unix.CLONE_NEWTIME
	}
	return kinds
}

// attach connects a client to the container's own streams.
func (s *server) attach(conn Conn, r Request, files []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	in, out, errs := streamsOf(r, files)
	if err := conn.Send(Reply{Pid: c.current().pid}); err != nil {
		return Reply{}, nil
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			var r Request
			files, err := conn.Receive(&r)
			closeAll(files)
			if err != nil {
				return
			}
			if r.Op == OpResize {
				c.resize(r)
			}
		}
	}()
	c.arrive()
	defer c.depart()
	c.attachUntil(gone, in, out, errs)
	return Reply{}, nil
}
