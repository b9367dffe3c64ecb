package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container/shim/resolver"
)

// server is the shim at work.
type server struct {
	listener *os.File
	program  *os.File      // what this process runs
	userNS   *os.File      // the pod's, nil if it has none
	full     chan struct{} // tells that a connection has been closed while there were too many

	mu         sync.Mutex
	containers map[string]*container
	children   map[int]func(unix.WaitStatus) // by pid: what to do when it ends
	forked     chan struct{}                 // tells that there is a child again
	watchers   map[chan string]struct{}
	early      map[string][]*early // who waits for a container to start, by its id
	names      *resolver.Server    // nil until it is asked for
}

// serve answers clients until one says quit.
func (s *server) serve() {
	go s.reap()
	for {
		c, err := accept(s.listener)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors: the end of a connection gives some back, or something else does.
			select {
			case <-s.full:
			case <-time.After(time.Second):
			}
			continue
		}
		go s.answer(c)
	}
}

func (s *server) answer(c Conn) {
	defer func() {
		c.Close()
		select {
		case s.full <- struct{}{}:
		default:
		}
	}()
	var r Request
	files, err := c.Receive(&r)
	if err != nil {
		return // the client has gone
	}
	defer closeAll(files)
	handlers := map[string]func(Conn, Request, []*os.File) (Reply, error){
		OpPing: s.ping, OpStart: s.start, OpSignal: s.signal, OpStop: s.stop, OpFirst: s.first, OpUpdate: s.update, OpExec: s.exec, OpAttach: s.attach, OpEarly: s.attachEarly,
		OpReopen: s.reopen, OpDial: s.dial, OpWatch: s.watch, OpQuit: s.quit, OpResolve: s.resolve,
	}
	handle := handlers[r.Op]
	if handle == nil {
		_ = c.Send(Reply{Error: fmt.Sprintf("this shim does not know the operation %q", r.Op)})
		return
	}
	reply, err := handle(c, r, files)
	if err != nil {
		reply.Error = err.Error()
		var start *startError
		if errors.As(err, &start) {
			reply.Code = start.Code
		}
	}
	_ = c.Send(reply) // a client that has gone needs no answer
}

func (s *server) ping(Conn, Request, []*os.File) (Reply, error) {
	return Reply{Pid: os.Getpid()}, nil
}

func (s *server) find(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("container %s has not been started", id)
}

// start makes a container of the spec in a file.
func (s *server) start(_ Conn, r Request, files []*os.File) (Reply, error) {
	data, err := os.ReadFile(r.Spec)
	if err != nil {
		return Reply{}, err
	}
	var spec Container
	if err := json.Unmarshal(data, &spec); err != nil {
		return Reply{}, fmt.Errorf("%s: %w", r.Spec, err)
	}
	if _, err := s.find(spec.ID); err == nil {
		return Reply{}, fmt.Errorf("container %s has been started already", spec.ID)
	}
	join, err := keep(files)
	if err != nil {
		return Reply{}, err
	}
	if want := spec.namespaces(); len(join) != want {
		closeAll(join)
		return Reply{}, fmt.Errorf("start of %s: %d namespaces came, %d are to be joined", spec.ID, len(join), want)
	}
	c, err := s.startContainer(spec, r.Spec, join)
	s.begin(spec.ID, c)
	if err != nil {
		return Reply{}, errors.Join(err, neverStarted(spec, err))
	}
	return Reply{Pid: c.current().pid}, nil
}

// keep duplicates what a request brought, which ends with the request.
func keep(files []*os.File) ([]*os.File, error) {
	var kept []*os.File
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(kept)
			return nil, err
		}
		kept = append(kept, os.NewFile(uintptr(fd), f.Name()))
	}
	return kept, nil
}

// neverStarted keeps the reason for a daemon that may have gone meanwhile.
func neverStarted(spec Container, why error) error { return writeRecord(spec.Exit, failure(why)) }

func (s *server) signal(_ Conn, r Request, _ []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	return Reply{}, c.kill(unix.Signal(r.Signal))
}

// stop is signal for whoever wants the container to stay ended; it ends one that waits to be started again.
func (s *server) stop(_ Conn, r Request, _ []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	c.stop()
	return Reply{}, c.kill(unix.Signal(r.Signal))
}

// first hands over a pidfd of the container's first process.
func (s *server) first(conn Conn, r Request, _ []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	return Reply{}, conn.Send(Reply{}, c.current().pidfd)
}

// update changes what may change while a container runs.
func (s *server) update(_ Conn, r Request, _ []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Restart != nil {
		c.spec.Restart = *r.Restart
	}
	return Reply{}, nil
}

func (s *server) reopen(_ Conn, r Request, _ []*os.File) (Reply, error) {
	c, err := s.find(r.Container)
	if err != nil {
		return Reply{}, err
	}
	return Reply{}, c.log.reopen()
}

// dial connects to a port on the pod's loopback and hands the connection over.
func (s *server) dial(conn Conn, r Request, _ []*os.File) (Reply, error) {
	fd, err := connect(unix.AF_INET, &unix.SockaddrInet4{Port: r.Port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil {
		fd, err = connect(unix.AF_INET6, &unix.SockaddrInet6{Port: r.Port, Addr: [16]byte{15: 1}})
	}
	if err != nil {
		return Reply{}, fmt.Errorf("connect to localhost:%d in the pod: %w", r.Port, err)
	}
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	return Reply{}, conn.Send(Reply{}, f)
}

func connect(family int, to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5})
	if err == nil {
		for err = unix.Connect(fd, to); errors.Is(err, unix.EINTR); { // with a timeout the kernel does not begin again by itself (signal(7))
			err = unix.Connect(fd, to)
		}
		if errors.Is(err, unix.EISCONN) { // it was there when we asked again
			err = nil
		}
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// watch tells of containers that start and end, from now on, until the client goes.
func (s *server) watch(conn Conn, _ Request, _ []*os.File) (Reply, error) {
	changes := make(chan string, 64)
	s.mu.Lock()
	s.watchers[changes] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, changes)
		s.mu.Unlock()
	}()
	if err := conn.Send(Reply{Pid: os.Getpid()}); err != nil {
		return Reply{}, nil
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		var nothing Request
		_, _ = conn.Receive(&nothing) // returns when the client closes
	}()
	for {
		select {
		case id := <-changes:
			if conn.Send(Reply{Changed: id}) != nil {
				return Reply{}, nil
			}
		case <-gone:
			return Reply{}, nil
		}
	}
}

// tell wakes the watchers. One that does not listen finds out from the records.
func (s *server) tell(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		select {
		case w <- id:
		default:
		}
	}
}

// quit kills every container and ends the shim, and with it the pod's namespaces.
func (s *server) quit(conn Conn, _ Request, _ []*os.File) (Reply, error) {
	s.mu.Lock()
	var all []*container
	for _, c := range s.containers {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.stop()
		_ = c.kill(unix.SIGKILL)
	}
	for _, c := range all {
		select {
		case <-c.done:
		case <-time.After(5 * time.Second): // in the kernel's hands
		}
	}
	_ = conn.Send(Reply{})
	s.listener.Close()
	return Reply{}, nil
}

// writeRecord makes a start or an end durable before anybody hears of it.
func writeRecord(path string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// ReadExit reads what a shim wrote about a container's end; os.ErrNotExist while it runs.
func ReadExit(path string) (Exit, error) {
	var e Exit
	data, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}
