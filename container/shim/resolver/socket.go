package resolver

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// open makes a socket that waits without holding a thread.
func open(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	return fd, nil
}

func again(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }

// listen opens the same port of Address for datagrams and for streams.
func listen() (datagrams, streams *os.File, port int, err error) {
	for range 16 { // the port may be another's for streams
		var udp, tcp int
		if udp, port, err = bind(unix.SOCK_DGRAM, 0); err != nil {
			return nil, nil, 0, err
		}
		if tcp, _, err = bind(unix.SOCK_STREAM, port); err != nil {
			unix.Close(udp)
			continue
		}
		if err = unix.Listen(tcp, 16); err != nil {
			unix.Close(udp)
			unix.Close(tcp)
			continue
		}
		return os.NewFile(uintptr(udp), "datagrams"), os.NewFile(uintptr(tcp), "streams"), port, nil
	}
	return nil, nil, 0, err
}

func bind(kind, port int) (fd, bound int, err error) {
	if fd, err = open(unix.AF_INET, kind); err != nil {
		return -1, 0, err
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: Address, Port: port})
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	own, ok := name.(*unix.SockaddrInet4)
	if err != nil || !ok {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("listen at 127.0.0.11: %w", err)
	}
	return fd, own.Port, nil
}

// connect opens a connection to a server, or for datagrams a socket that hears nobody else.
func connect(server other, kind int, within time.Duration) (*os.File, error) {
	family := unix.AF_INET
	if _, ok := server.to.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err := openIn(server.namespace, family, kind)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, server.to)
	f := os.NewFile(uintptr(fd), "server")
	if errors.Is(err, unix.EINPROGRESS) {
		err = errors.Join(f.SetDeadline(time.Now().Add(within)), connected(f))
	} else if err == nil {
		err = f.SetDeadline(time.Now().Add(within))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// connected waits until a connection is there, or cannot be had. It looks before it waits: the word of a connection that was
// there at once may have come before anybody waited for it.
func connected(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err == nil {
			_, err = unix.Getpeername(int(fd))
		}
		if errors.Is(err, unix.ENOTCONN) {
			return false
		}
		failed = err
		return true
	})
	return errors.Join(err, failed)
}

// accept waits for a connection.
func accept(listener *os.File) (*os.File, error) {
	raw, err := listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	err = raw.Read(func(l uintptr) bool {
		fd, _, failed = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return !again(failed)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "client"), nil
}

// receive waits for a datagram. One that is longer than the buffer has a greater n.
func receive(f *os.File, buffer []byte) (n int, from unix.Sockaddr, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, from, failed = unix.Recvfrom(int(fd), buffer, unix.MSG_TRUNC)
		return !again(failed)
	})
	return n, from, errors.Join(err, failed)
}

// next waits for a datagram of any length. It makes room for it when it is there.
func next(f *os.File) (packet []byte, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		var n int
		if n, _, failed = unix.Recvfrom(int(fd), nil, unix.MSG_PEEK|unix.MSG_TRUNC); failed == nil {
			packet = make([]byte, n)
			n, _, failed = unix.Recvfrom(int(fd), packet, 0)
			packet = packet[:max(n, 0)]
		}
		return !again(failed)
	})
	return packet, errors.Join(err, failed)
}

// send sends a datagram, if there is room for it: who asked asks again.
func send(f *os.File, packet []byte, to unix.Sockaddr) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Sendto(int(fd), packet, unix.MSG_NOSIGNAL, to) })
	}
}
