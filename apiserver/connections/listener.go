// Package connections bounds how many connections a server holds open, so that clients that do nothing but connect
// cannot take the open files that the rest of the process needs: etcd's log, above all.
package connections

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Most is how many connections the process's limit of open files leaves for clients: three quarters of it.
func Most() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur > 1<<20 {
		return 3 << 18
	}
	return max(int(files.Cur)*3/4, 1)
}

// Listener accepts no more connections than may be open at once; further ones wait, as the kernel lets them, until others
// have ended. It tells of a client that resets its connection as of one that closes it.
type Listener struct {
	net.Listener
	log    *slog.Logger
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
	full   atomic.Bool
}

// Limit lets at most most connections of l be open.
func Limit(l net.Listener, most int, log *slog.Logger) *Listener {
	return &Listener{Listener: l, log: log, free: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	if err := l.take(); err != nil {
		return nil, err
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &conn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

// take waits for room, and says so once each time that there is none.
func (l *Listener) take() error {
	select {
	case l.free <- struct{}{}:
		if len(l.free) <= cap(l.free)/2 {
			l.full.Store(false)
		}
		return nil
	default:
	}
	if !l.full.Swap(true) {
		l.log.Warn("as many connections are open as may be: new ones wait until others end", "address", l.Addr(), "connections", cap(l.free))
	}
	select {
	case l.free <- struct{}{}:
		return nil
	case <-l.closed:
		return net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type conn struct {
	net.Conn
	release func()
}

// Read takes a reset for the end: to the libraries it would be an error worth telling, and port scans make many.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
