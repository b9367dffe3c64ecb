package shim

import (
	"os"

	"dhow/container/shim/resolver"
)

// resolve answers for names in the pod's network namespace from now on, by the hosts file and the servers of the request.
func (s *server) resolve(_ Conn, r Request, _ []*os.File) (Reply, error) {
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
	s.names.Use(r.Hosts, r.Servers)
	return Reply{Port: s.names.Port()}, nil
}
