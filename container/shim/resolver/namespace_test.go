package resolver

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// elsewhere is a network namespace of its own, with a server at an address of its loopback.
func elsewhere(t *testing.T, at string, answer answering) (namespace *os.File, port int) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends here
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo"}})
		}
		if err == nil {
			namespace, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil {
			port = upstream(t, at, answer)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { namespace.Close() })
	return namespace, port
}

func TestServersOfAnotherNetworkAreAskedThere(t *testing.T) {
	namespace, port := elsewhere(t, "127.0.0.29", func(query []byte, _ string) [][]byte { return one(says(query, 0, 192, 0, 2, 9)) })
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	s, file := serve(t, table, port, "127.0.0.29")
	for _, c := range []struct {
		namespace *os.File
		want      string
	}{{nil, "ServerFailure"}, {namespace, "Success 192.0.2.9"}} {
		s.use(file, port, Upstream{Addresses: []string{"127.0.0.29"}, Namespace: c.namespace})
		for range 20 { // on many threads, the first one among them
			for _, network := range []string{"udp", "tcp"} {
				if got := shown(t, exchanged(t, s, network, query(t, "elsewhere.example.", dnsmessage.TypeA))); got != c.want {
					t.Errorf("by %s from %v: %q, want %q", network, c.namespace, got, c.want)
				}
			}
		}
	}
	if now, err := os.Readlink("/proc/self/ns/net"); err != nil || now != before {
		t.Errorf("the process is in %s now (%v), was in %s", now, err, before)
	}
}
