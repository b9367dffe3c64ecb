package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// container is one that has been started.
type container struct {
	spec  Container
	pid   int
	pidfd *os.File
	log   *logFile
	out   *fanout // stdout, or the terminal
	errs  *fanout
	in    *input
	pts   *os.File // its devpts, for the terminals of commands
	tty   *os.File // its own terminal's master

	drained sync.WaitGroup // readers of its output
	done    chan struct{}
}

// startError is a command that could not be executed, with the code that shells give it.
type startError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *startError) Error() string { return e.Message }

// startContainer forks the container's init and waits until it has become the command.
func (s *server) startContainer(spec Container, path string) (*container, error) {
	c := &container{spec: spec, done: make(chan struct{})}
	var err error
	if c.log, err = openLog(spec.Log); err != nil {
		return nil, err
	}
	if c.pts, err = newDevpts(); err != nil {
		return nil, fmt.Errorf("devpts: %w", err)
	}
	std, err := c.streams()
	if err != nil {
		return nil, err
	}
	defer closeAll(std)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	problems, report, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer problems.Close()
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Setsid: true}
	if spec.OwnPID {
		attr.Cloneflags |= unix.CLONE_NEWPID
	}
	pidfd := -1
	attr.PidFD = &pidfd
	ended := make(chan unix.WaitStatus, 1)
	err = InGroups(spec.Cgroups, attr, func() (err error) {
		c.pid, err = s.fork(initPart, append(std, file, report, c.pts), attr, func(status unix.WaitStatus) { ended <- status })
		return err
	})
	report.Close()
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	c.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	if err := readProblem(problems); err != nil {
		<-ended
		c.release()
		return nil, err
	}
	if err := writeRecord(spec.Start, Start{At: time.Now().UnixNano()}); err != nil {
		fmt.Fprintf(os.Stderr, "start of %s: %v\n", spec.ID, err)
	}
	s.mu.Lock()
	s.containers[spec.ID] = c
	s.mu.Unlock()
	s.tell(spec.ID)
	go s.finish(c, ended)
	return c, nil
}

// readProblem reads what a child says before it becomes its command: nothing, or why it cannot.
func readProblem(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil || len(data) == 0 {
		return err
	}
	e := &startError{}
	if json.Unmarshal(data, e) != nil {
		e = &startError{Code: 128, Message: string(data)}
	}
	return e
}

// finish waits for the end, then for the last of the output, then makes the end known.
func (s *server) finish(c *container, ended <-chan unix.WaitStatus) {
	status := <-ended
	exit := Exit{At: time.Now().UnixNano(), OOM: outOfMemory(c.spec.Cgroups)}
	exit.Code, exit.Signal = code(status)
	c.drain()
	if err := writeRecord(c.spec.Exit, exit); err != nil {
		fmt.Fprintf(os.Stderr, "exit of %s: %v\n", c.spec.ID, err)
	}
	c.release()
	close(c.done)
	s.tell(c.spec.ID)
}

// drain waits for the readers. Processes that the container left behind may hold its output open: two seconds
// after the end that no longer counts.
func (c *container) drain() {
	drained := make(chan struct{})
	go func() {
		c.drained.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(2 * time.Second):
	}
}

func (c *container) release() {
	for _, closer := range []io.Closer{c.in, c.out, c.errs, c.log} {
		closer.Close()
	}
	closeAll([]*os.File{c.tty, c.pts, c.pidfd})
}

func (c *container) kill(sig unix.Signal) error {
	err := unix.PidfdSendSignal(int(c.pidfd.Fd()), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EBADF) {
		return nil // it has ended
	}
	return err
}

// streams makes the child's stdin, stdout and stderr, and starts reading what it will write.
func (c *container) streams() ([]*os.File, error) {
	c.out, c.errs = newFanout(c.log.stream("stdout")), newFanout(c.log.stream("stderr"))
	if c.spec.Process.TTY {
		return c.terminal()
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
		c.in = newInput(w)
	} else if in, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	c.read(outR, c.out)
	c.read(errR, c.errs)
	return []*os.File{in, outW, errW}, nil
}

func (c *container) terminal() ([]*os.File, error) {
	master, slave, err := openTerminal(c.pts)
	if err != nil {
		return nil, err
	}
	c.tty = master
	c.in = newInput(nil)
	if c.spec.Stdin {
		c.in = newInput(master)
	}
	c.read(master, c.out)
	return []*os.File{slave, slave, slave}, nil
}

func (c *container) read(from *os.File, to *fanout) {
	c.drained.Go(func() {
		to.copy(from)
		if from != c.tty {
			from.Close()
		}
	})
}

// attachUntil copies between a client's descriptors and the container until it ends or the client is gone. The end of
// the client's input ends the container's where that has only one; otherwise it ends the attachment, as with docker.
func (c *container) attachUntil(gone <-chan struct{}, in *os.File, out, errs io.Writer) {
	if out != nil {
		defer c.out.add(out)()
	}
	if errs != nil {
		defer c.errs.add(errs)()
	}
	over := make(chan struct{})
	if in != nil {
		go func() {
			_, _ = io.Copy(c.in, in)
			if c.spec.StdinOnce && c.tty == nil {
				c.in.Close()
				return
			}
			close(over)
		}()
	}
	select {
	case <-c.done:
	case <-gone:
	case <-over:
	}
}
