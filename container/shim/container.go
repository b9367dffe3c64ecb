package shim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// container is one that has been started. It may run several times:
//
//	start → run → ended ┬→ waiting → run …      as its restart policy says
//	                    └→ done
type container struct {
	spec Container
	path string     // of the file that spec is from
	join []*os.File // the namespaces of spec.Join
	exit []*os.File // OwnNamespaces of who started it, for its exit command
	log  *logFile

	mu  sync.Mutex
	run *run // the current one, or the last
	// The size of its terminal; 0: nobody has asked for one.
	width, height uint16
	restarts      int
	attached      int           // how many have its streams, or wait for its end
	stopped       bool          // nobody wants it to be started again
	wake          chan struct{} // closed when stopped is set

	out, errs audience      // of stdout, or the terminal, and of stderr
	done      chan struct{} // closed when it has ended for good, and that is on record
}

// startError is a command that could not be executed, with the code that shells give it.
type startError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *startError) Error() string { return e.Message }

// startContainer runs a container for the first time.
func (s *server) startContainer(spec Container, path string, join []*os.File) (*container, error) {
	n := len(spec.Join)
	c := &container{spec: spec, path: path, join: join[:n], exit: join[n:], wake: make(chan struct{}), done: make(chan struct{})}
	var err error
	if c.log, err = openLog(spec.Log, spec.LogMax, spec.LogFiles); err != nil {
		closeAll(join)
		return nil, err
	}
	if c.run, err = s.newRun(c); err != nil {
		c.release()
		closeAll(c.exit)
		return nil, err
	}
	c.record(Start{At: c.run.at, Pid: c.run.pid, User: c.run.user})
	s.mu.Lock()
	s.containers[spec.ID] = c
	s.mu.Unlock()
	s.tell(spec.ID)
	go s.supervise(c)
	return c, nil
}

func (c *container) record(start Start) {
	if err := writeRecord(c.spec.Start, start); err != nil {
		fmt.Fprintf(os.Stderr, "start of %s: %v\n", c.spec.ID, err)
	}
}

// supervise follows a container from run to run until it has ended for good.
func (s *server) supervise(c *container) {
	wait := firstPause
	for {
		r := c.current()
		exit := r.wait(c)
		if time.Duration(exit.At-r.at) >= calm {
			wait = firstPause
		}
		runs := false
		if c.again(exit) {
			exit, runs = s.restart(c, exit, wait)
		}
		if !runs {
			attended := c.attended() // before they are told
			c.finish(exit)
			s.tell(c.spec.ID)
			s.runExitCommand(c, attended)
			return
		}
		wait = min(2*wait, longestPause)
	}
}

// finish makes the end known.
func (c *container) finish(exit Exit) {
	if err := writeRecord(c.spec.Exit, exit); err != nil {
		fmt.Fprintf(os.Stderr, "exit of %s: %v\n", c.spec.ID, err)
	}
	close(c.done) // those who are attached need not wait for the rest
	c.release()
}

func (c *container) release() {
	if r := c.current(); r != nil {
		r.release()
	}
	c.out.leave()
	c.errs.leave()
	c.log.Close()
	closeAll(c.join)
}

func (c *container) current() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// stop ends all restarts.
func (c *container) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.stopped = true
		close(c.wake)
	}
}

// kill sends a signal to the first process; one that has ended needs none.
func (c *container) kill(sig unix.Signal) error {
	r := c.current()
	err := unix.PidfdSendSignal(int(r.pidfd.Fd()), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EBADF) {
		return nil // it has ended
	}
	return err
}

// attachUntil copies between a client's descriptors and the container until that has ended for good or the client is
// gone; it goes on from run to run. The end of the client's input ends the container's where that has only one;
// otherwise it ends the attachment, as with docker.
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
			if c.passInput(in) {
				close(over)
			}
		}()
	}
	for r := c.current(); ; r = c.current() {
		select {
		case <-r.next:
		case <-c.done:
			return
		case <-gone:
			return
		case <-over:
			return
		}
	}
}

// passInput copies to whichever run there is, and says whether the attachment is over with its end.
func (c *container) passInput(in *os.File) bool {
	_, _ = io.Copy(inputOf{c}, in)
	if r := c.current(); c.spec.StdinOnce && r.tty == nil {
		r.in.Close()
		return false
	}
	return true
}

// inputOf is the input of a container's current run.
type inputOf struct{ c *container }

// Write implements io.Writer. A run that has closed its input takes nothing; the next one may.
func (i inputOf) Write(p []byte) (int, error) {
	_, _ = i.c.current().in.Write(p)
	return len(p), nil
}
