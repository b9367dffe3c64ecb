package shim

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dhow/container/shim/resolver"
)

// resolve answers for names in the pod's network namespace from now on, by the hosts file and the servers of the request.
func (s *server) resolve(_ Conn, r Request, files []*os.File) (Reply, error) {
	machine := resolver.Upstream{Addresses: r.Machine}
	if len(files) != 1 {
		return Reply{}, errors.New("resolve wants a descriptor of the machine's network namespace")
	}
	if len(r.Machine) > 0 {
		fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return Reply{}, err
		}
		machine.Namespace = os.NewFile(uintptr(fd), "network") // closed when nobody asks there any more
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		names, err := resolver.Listen()
		if err != nil {
			return Reply{}, err
		}
		s.names = names
		go names.Serve()
	}
	s.names.Use(r.Hosts, resolver.Upstream{Addresses: r.Servers}, machine)
	return Reply{Port: s.names.Port()}, nil
}
