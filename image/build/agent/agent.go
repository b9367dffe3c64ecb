// Package agent lends an SSH agent to a build's command: a socket of its own, with an owner that the command may be, which
// passes everything on.
package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Loan is a socket that leads to an agent until it is closed.
type Loan struct {
	listener net.Listener
	agent    string
	done     sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]bool // nil: closed
	short *os.File
}

// Lend makes the socket dir/name with an owner and permissions. dir may be longer than the name of a socket can be.
func Lend(agent, dir, name string, uid, gid int, mode os.FileMode) (*Loan, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	l := &Loan{agent: agent, open: map[net.Conn]bool{}, short: folder}
	path := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name)
	if l.listener, err = net.Listen("unix", path); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, mode)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.done.Go(l.accept)
	return l, nil
}

// Close ends the loan and all that uses it.
func (l *Loan) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	for c := range l.open {
		c.Close()
	}
	l.open = nil
	l.mu.Unlock()
	l.done.Wait()
	return errors.Join(err, l.short.Close())
}

func (l *Loan) accept() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("unix", l.agent)
		if err != nil || !l.keep(c, to) {
			c.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{c, to}, {to, c}} {
			l.done.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // whichever ends ends both
				l.drop(c, to)
			})
		}
	}
}

// keep remembers connections for Close, unless that has been.
func (l *Loan) keep(all ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range all {
		if l.open == nil {
			c.Close()
			continue
		}
		l.open[c] = true
	}
	return l.open != nil
}

func (l *Loan) drop(all ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range all {
		c.Close()
		delete(l.open, c)
	}
}
