package shim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container/shim/nofile"
	"dhow/container/shim/spawn"
)

// run is a container from a start to its end.
type run struct {
	at    int64 // nanoseconds since 1970
	pid   int
	pidfd *os.File
	user  *Identity
	in    *input
	pts   *os.File // its devpts, for the terminals of commands
	tty   *os.File // its own terminal's master

	kills   int            // for want of memory, in its groups before it
	drained sync.WaitGroup // readers of its output
	ended   chan unix.WaitStatus
	next    chan struct{} // closed when another run has taken its place
}

// newRun makes the container's root, forks its init and waits until that has become the command.
func (s *server) newRun(c *container) (*run, error) {
	r := &run{ended: make(chan unix.WaitStatus, 1), next: make(chan struct{}), kills: memoryKills(c.spec.Cgroups)}
	if err := s.launch(c, r); err != nil {
		r.release()
		return nil, err
	}
	r.at = time.Now().UnixNano()
	if err := s.runHooks(c, r, "poststart", "running"); err != nil {
		_ = unix.PidfdSendSignal(int(r.pidfd.Fd()), unix.SIGKILL, nil, 0)
		<-r.ended
		return nil, err
	}
	return r, nil
}

// opening is what openRoot returns.
type opening struct {
	mounts []*os.File
	err    error
}

func (s *server) launch(c *container, r *run) error {
	var err error
	if r.pts, err = newDevpts(c.spec.HostGID); err != nil {
		return fmt.Errorf("devpts: %w", err)
	}
	std, err := r.streams(c)
	if err != nil {
		return err
	}
	defer closeAll(std)
	s.admit(c, r.tty)
	c.fit(r.tty)
	spec, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer spec.Close()
	opened := make(chan opening, 1)
	go func() {
		mounts, err := s.openRoot(&c.spec)
		opened <- opening{mounts, err}
	}()
	root := sync.OnceValue(func() opening { return <-opened })
	defer func() { closeAll(root().mounts) }()
	return s.startInit(c, r, append(std, spec), root)
}

// startInit forks the init, whose first files are given. Where there are hooks to run before the container's root is
// entered, init waits for them.
func (s *server) startInit(c *container, r *run, first []*os.File, root func() opening) error {
	problems, report, err := os.Pipe()
	if err != nil {
		return err
	}
	defer problems.Close()
	hold, goOn, err := os.Pipe()
	if err != nil {
		report.Close()
		return err
	}
	defer goOn.Close()
	err = s.forkInit(c, r, func() ([]*os.File, error) {
		opened := root()
		return slices.Concat(first, []*os.File{report, hold, r.pts}, opened.mounts), opened.err
	})
	report.Close()
	hold.Close()
	if err != nil {
		return err
	}
	for _, name := range []string{"prestart", "createRuntime"} {
		if err := s.runHooks(c, r, name, "created"); err != nil {
			goOn.Close() // init ends when it hears nothing
			<-r.ended
			return err
		}
	}
	if _, err := goOn.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	if r.user, err = readReport(problems); err != nil {
		<-r.ended
		return err
	}
	return nil
}

func (s *server) forkInit(c *container, r *run, files func() ([]*os.File, error)) error {
	flags := uint64(unix.CLONE_NEWNS) | c.spec.Own
	if c.spec.OwnPID {
		flags |= unix.CLONE_NEWPID
	}
	command := &spawn.Command{Args: []string{initPart}, Setsid: true, Clocks: c.spec.Clocks}
	if c.spec.UserNS {
		command.Join = append(command.Join, spawn.Join{File: s.userNS, Kinds: unix.CLONE_NEWUSER})
		command.Then, command.Root = uintptr(flags), true
	} else {
		command.Flags = uintptr(flags)
	}
	var pidNS *os.File
	for i, kind := range c.spec.Join {
		if kind == unix.CLONE_NEWPID {
			pidNS = c.join[i] // of children: this thread's
			continue
		}
		command.Join = append(command.Join, spawn.Join{File: c.join[i], Kinds: int(kind)})
	}
	return InGroups(c.spec.Cgroups, func(group *os.File) (err error) {
		if pidNS != nil {
			if err := unix.Setns(int(pidNS.Fd()), unix.CLONE_NEWPID); err != nil {
				return fmt.Errorf("join pid namespace: %w", err)
			}
		}
		if command.Files, err = files(); err != nil {
			return err
		}
		command.Cgroup = group
		if r.pid, r.pidfd, err = s.spawn(command, func(status unix.WaitStatus) { r.ended <- status }); err != nil {
			return fmt.Errorf("fork: %w", err)
		}
		return nil
	})
}

// spawn starts this program in one of its parts, and calls done when it has ended.
func (s *server) spawn(command *spawn.Command, done func(unix.WaitStatus)) (int, *os.File, error) {
	command.Program, command.Env = s.program, []string{"GOMAXPROCS=1", "GOGC=off"}
	return s.fork(command, done)
}

// fork starts a program, and calls done when it has ended. The child has no other descriptors than the command's files.
func (s *server) fork(command *spawn.Command, done func(unix.WaitStatus)) (int, *os.File, error) {
	command.NoFile = &unix.Rlimit{Cur: nofile.Original.Cur, Max: nofile.Original.Max}
	s.mu.Lock() // no child is reaped before it is put down
	defer s.mu.Unlock()
	defer func() {
		select {
		case s.forked <- struct{}{}:
		default:
		}
	}()
	pid, err := spawn.Start(command)
	if err != nil {
		return 0, nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		_ = syscall.Kill(pid, unix.SIGKILL)
		return 0, nil, fmt.Errorf("pidfd_open: %w", err)
	}
	s.children[pid] = done
	return pid, os.NewFile(uintptr(fd), "pidfd"), nil
}

// childReport is what a child says before it becomes its command: of a container's, whom it runs as; and why it cannot.
type childReport struct {
	User    *Identity   `json:"user,omitempty"`
	Problem *startError `json:"problem,omitempty"`
}

// report says why.
func (e *startError) report(to io.Writer) {
	data, _ := json.Marshal(childReport{Problem: e}) // an int and a string
	_, _ = to.Write(data)                            // the shim may have gone
}

// readReport reads what a child says until it has become its command.
func readReport(r io.Reader) (*Identity, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var who *Identity
	for in := json.NewDecoder(bytes.NewReader(data)); ; {
		var said childReport
		err := in.Decode(&said)
		switch {
		case errors.Is(err, io.EOF):
			return who, nil
		case err != nil:
			return nil, &startError{Code: 128, Message: string(data)}
		case said.Problem != nil:
			return nil, said.Problem
		}
		who = said.User
	}
}

// wait waits for the end, then for the last of the output.
func (r *run) wait(c *container) Exit {
	status := <-r.ended
	exit := Exit{At: time.Now().UnixNano(), OOM: memoryKills(c.spec.Cgroups) > r.kills}
	exit.Code, exit.Signal = code(status)
	r.drain()
	return exit
}

// drain waits for the readers. Processes that the container left behind may hold its output open: two seconds
// after the end that no longer counts.
func (r *run) drain() {
	drained := make(chan struct{})
	go func() {
		r.drained.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(2 * time.Second):
	}
}

func (r *run) release() {
	r.in.Close()
	closeAll([]*os.File{r.tty, r.pts, r.pidfd})
}

// streams makes the child's stdin, stdout and stderr, and starts reading what it will write.
func (r *run) streams(c *container) ([]*os.File, error) {
	out, errs := &fanout{c.log.stream("stdout"), &c.out}, &fanout{c.log.stream("stderr"), &c.errs}
	if c.spec.Process.TTY {
		return r.terminal(c, out)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	var in *os.File
	if c.spec.Stdin {
		var w *os.File
		if in, w, err = os.Pipe(); err != nil {
			return nil, err
		}
		r.in = newInput(w)
	} else if in, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	if c.spec.UserNS { // who opens /dev/stdout needs the right to
		_ = outW.Chown(int(c.spec.HostUID), int(c.spec.HostGID))
		_ = errW.Chown(int(c.spec.HostUID), int(c.spec.HostGID))
	}
	r.read(outR, out)
	r.read(errR, errs)
	return []*os.File{in, outW, errW}, nil
}

func (r *run) terminal(c *container, out *fanout) ([]*os.File, error) {
	master, slave, err := openTerminal(r.pts)
	if err != nil {
		return nil, err
	}
	_ = slave.Chown(int(c.spec.HostUID), -1)
	r.tty = master
	r.in = newInput(nil)
	if c.spec.Stdin {
		r.in = newInput(master)
	}
	r.read(master, out)
	return []*os.File{slave, slave, slave}, nil
}

func (r *run) read(from *os.File, to *fanout) {
	r.drained.Go(func() {
		to.copy(from)
		if from != r.tty {
			from.Close()
		}
	})
}
