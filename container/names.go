package container

import (
	"context"
	"fmt"
	"os"

	"dhow/container/shim"
)

// NameServer is a sandbox's own, which answers at resolver.Address.
type NameServer struct {
	// Port is where it listens. Containers ask at port 53, and must be led there.
	Port int
	// NetworkNamespace is the path of the one that it is in.
	NetworkNamespace string
}

// Resolve makes a sandbox that has a network namespace of its own answer for names, until it ends: for those of a hosts file
// on this machine, as they are at any time, and for others by asking servers at these addresses, which it reaches as its
// containers do, or, if they are the machine's, as this process does. A sandbox that does so already goes by the new
// file and servers.
func (e *Engine) Resolve(_ context.Context, sandboxID, hostsFile string, servers, machine []string) (NameServer, error) {
	s, err := e.sandbox(sandboxID)
	if err != nil {
		return NameServer{}, err
	}
	if !s.ownNetwork() {
		return NameServer{}, fmt.Errorf("answer for names in sandbox %s: it has no network of its own", sandboxID)
	}
	network, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return NameServer{}, err
	}
	defer network.Close()
	reply, _, err := s.ask(shim.Request{Op: shim.OpResolve, Hosts: hostsFile, Servers: servers, Machine: machine}, network)
	if err != nil {
		return NameServer{}, fmt.Errorf("answer for names in sandbox %s: %w", sandboxID, err)
	}
	return NameServer{Port: reply.Port, NetworkNamespace: fmt.Sprintf("/proc/%d/ns/net", s.ShimPID)}, nil
}
