package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Conn is one end of a connection, a SOCK_SEQPACKET socket. (It is not package net's, which would make the shim wait
// for the initialisation of half of the program; see shimentry.)
type Conn struct{ *os.File }

// SocketName is the shim's socket in its folder.
const SocketName = "shim.sock"

// biggest message; specs of containers go by file.
const biggest = 128 << 10

// Listen makes the socket of a folder.
func Listen(dir string) (*os.File, error) {
	fd, err := socket()
	if err != nil {
		return nil, err
	}
	if err := inFolder(dir, func(a *unix.SockaddrUnix) error { return unix.Bind(fd, a) }); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen in %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// Dial connects to the shim of a folder.
func Dial(dir string) (Conn, error) {
	fd, err := socket()
	if err != nil {
		return Conn{}, err
	}
	if err := inFolder(dir, func(a *unix.SockaddrUnix) error { return unix.Connect(fd, a) }); err != nil {
		unix.Close(fd)
		return Conn{}, err
	}
	return newConn(fd)
}

func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	return fd, nil
}

// inFolder gives the socket's address, however long the folder's name is.
func inFolder(dir string, f func(*unix.SockaddrUnix) error) error {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(d)
	if err := f(&unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", d, SocketName)}); err != nil {
		return &os.PathError{Op: "connect", Path: dir + "/" + SocketName, Err: err}
	}
	return nil
}

func newConn(fd int) (Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return Conn{}, err
	}
	return Conn{os.NewFile(uintptr(fd), "shim")}, nil
}

// accept waits for a client.
func accept(listener *os.File) (Conn, error) {
	raw, err := listener.SyscallConn()
	if err != nil {
		return Conn{}, err
	}
	fd, failed := -1, error(nil)
	err = raw.Read(func(l uintptr) bool {
		fd, _, failed = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return !again(failed)
	})
	if err = errors.Join(err, failed); err != nil {
		return Conn{}, err
	}
	return newConn(fd)
}

func again(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }

// Send writes one message with descriptors.
func (c Conn) Send(message any, files ...*os.File) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(data) > biggest {
		return fmt.Errorf("message of %d bytes is longer than %d", len(data), biggest)
	}
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return err
		}
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), data, rights, nil, unix.MSG_NOSIGNAL)
		return !again(failed)
	})
	return errors.Join(err, failed)
}

// Receive reads one message with its descriptors, which are the caller's to close. io.EOF: the other end has gone.
func (c Conn) Receive(message any) ([]*os.File, error) {
	data, oob, err := c.packet()
	if err != nil {
		return nil, err
	}
	files, err := descriptors(oob)
	if err == nil {
		err = json.Unmarshal(data, message)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

// packet reads one message as it is. It makes room for it when it is there: a shim waits on several at once.
func (c Conn) packet() (data, oob []byte, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		data, oob, failed = receive(int(fd))
		return !again(failed)
	})
	if err == nil {
		err = failed
	}
	return data, oob, err
}

func receive(fd int) (data, oob []byte, err error) {
	n, err := waiting(fd)
	if err == nil && n == 0 { // the other end has gone, perhaps just after its last word: that is there by now
		if n, err = waiting(fd); err == nil && n == 0 {
			err = io.EOF
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if n > biggest {
		return nil, nil, fmt.Errorf("message of %d bytes is longer than %d", n, biggest)
	}
	data, oob = make([]byte, n), make([]byte, unix.CmsgSpace(4*8))
	_, oobn, flags, _, err := unix.Recvmsg(fd, data, oob, unix.MSG_CMSG_CLOEXEC)
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("message was cut off")
	}
	return data, oob[:max(oobn, 0)], err
}

// waiting is the length of the next message, 0 if there is none and never will be: no message is empty.
func waiting(fd int) (int, error) {
	n, _, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
	return n, err
}

func descriptors(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
