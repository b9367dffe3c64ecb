// Package networktest gives tests a machine of their own: the test binary runs again in network and mount
// namespaces of its own, and makes further network namespaces for pods and for the world outside.
package networktest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dhow/internal/carrier"
	"dhow/internal/isolate"
)

const marker = "DHOW_NETWORKTEST_INSIDE"

// Main runs a package's tests in namespaces of their own. Call it from TestMain.
func Main(m *testing.M) {
	if os.Getenv(marker) == "" {
		os.Exit(again())
	}
	if err := isolate.SetUp(); err != nil {
		fmt.Fprintln(os.Stderr, "set up namespaces:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func again() int {
	runtime.LockOSThread() // the child dies with this thread
	cmd := isolate.Command(exec.Command("/proc/self/exe", os.Args[1:]...))
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	default:
		fmt.Fprintln(os.Stderr, "run tests in namespaces of their own (root is needed):", err)
		return 1
	}
}

// Namespace is a network namespace that lives until Close or the test's end.
type Namespace struct {
	t  testing.TB
	ns netns.NsHandle
}

// New makes an empty network namespace.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t, ns: netns.None()}
	onThread(t, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		var err error
		n.ns, err = netns.Get()
		return err
	})
	t.Cleanup(n.Close)
	return n
}

// Close ends the namespace, if no socket is left in it.
func (n *Namespace) Close() {
	if n.ns.IsOpen() {
		_ = n.ns.Close()
	}
}

// Path of the namespace for whoever opens it.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(n.ns)) }

// Do runs f on a thread in the namespace. Sockets that f opens stay there.
func (n *Namespace) Do(f func() error) {
	n.t.Helper()
	onThread(n.t, func() error {
		if err := netns.Set(n.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that ends with it.
func onThread(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Outside makes a namespace behind a new link of the node: the node has nodeAddr, the outside has addr, both
// given with their common prefix length. The outside has no route to anything else.
func Outside(t testing.TB, link, nodeAddr, addr string) *Namespace {
	t.Helper()
	n := New(t)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: link}, PeerName: "eth0", PeerNamespace: netlink.NsFd(n.ns)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("add link %s: %v", link, err)
	}
	t.Cleanup(func() {
		var gone netlink.LinkNotFoundError
		if l, err := netlink.LinkByName(link); err == nil {
			if err := netlink.LinkDel(l); err != nil {
				t.Errorf("delete link %s: %v", link, err)
			}
		} else if !errors.As(err, &gone) {
			t.Errorf("find link %s: %v", link, err)
		}
	})
	if err := address(link, nodeAddr); err != nil {
		t.Fatal(err)
	}
	n.Do(func() error {
		if err := address("lo", ""); err != nil {
			return err
		}
		return address("eth0", addr)
	})
	if err := carrier.Await(netlink.LinkByIndex, veth.Index); err != nil {
		t.Fatal(err)
	}
	return n
}

// RouteVia sends all that the namespace has no other route for to gateway.
func (n *Namespace) RouteVia(gateway string) {
	n.t.Helper()
	n.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return fmt.Errorf("find eth0: %w", err)
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gateway)})
	})
}

func address(link, cidr string) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", link, err)
	}
	if cidr != "" {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return fmt.Errorf("parse %s: %w", cidr, err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, a); err != nil {
			return fmt.Errorf("give %s the address %s: %w", link, cidr, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", link, err)
	}
	return nil
}
