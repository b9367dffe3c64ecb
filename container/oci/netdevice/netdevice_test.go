package netdevice_test

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dhow/container/oci/netdevice"
)

// inNetwork runs a test on a thread with an empty network, in which it makes the two ends of a veth pair. pid is a process
// with another empty network, which is looked into by the handle.
func inNetwork(t *testing.T, test func(pid int, there *netlink.Handle)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its network
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		sleeper := exec.Command("sleep", "100")
		sleeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
		if err := sleeper.Start(); err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
		space, err := netns.GetFromPid(sleeper.Process.Pid)
		if err != nil {
			t.Error(err)
			return
		}
		defer space.Close()
		there, err := netlink.NewHandleAt(space)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "two"}); err != nil {
			t.Error(err)
			return
		}
		test(sleeper.Process.Pid, there)
	}()
	<-done
}

func TestADeviceMovesWithItsAddresses(t *testing.T) {
	inNetwork(t, func(pid int, there *netlink.Handle) {
		one, err := netlink.LinkByName("one")
		if err != nil {
			t.Error(err)
			return
		}
		for _, text := range []string{"10.9.8.7/24", "2001:db8::7/64"} {
			a, err := netlink.ParseAddr(text)
			if err == nil {
				err = netlink.AddrAdd(one, a)
			}
			if err != nil {
				t.Error(err)
			}
		}
		if err := netdevice.Move(map[string]specs.LinuxNetDevice{"one": {Name: "eth0"}, "two": {}}, pid); err != nil {
			t.Error(err)
			return
		}
		eth0, err := there.LinkByName("eth0")
		if err != nil {
			t.Error(err)
			return
		}
		addresses, err := there.AddrList(eth0, netlink.FAMILY_ALL)
		if got := fmt.Sprint(addresses); err != nil || !strings.Contains(got, "10.9.8.7/24") || !strings.Contains(got, "2001:db8::7/64") {
			t.Errorf("eth0 has %s, %v", got, err)
		}
		if eth0.Attrs().Flags&1 == 0 { // IFF_UP
			t.Error("eth0 is not up")
		}
		if _, err := there.LinkByName("two"); err != nil {
			t.Errorf("two, which keeps its name: %v", err)
		}
		if _, err := netlink.LinkByName("one"); err == nil {
			t.Error("one is still here")
		}
	})
}

func TestATakenNameIsAnErrorUnlessItIsATemplate(t *testing.T) {
	inNetwork(t, func(pid int, there *netlink.Handle) {
		err := netdevice.Move(map[string]specs.LinuxNetDevice{"one": {Name: "lo"}}, pid)
		if err == nil || !strings.Contains(err.Error(), `linux.netDevices["one"]: the container's network has a device "lo" already`) {
			t.Errorf("got %v", err)
		}
		if err := netdevice.Move(map[string]specs.LinuxNetDevice{"one": {Name: "eth%d"}, "two": {Name: "eth%d"}}, pid); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"eth0", "eth1"} {
			if _, err := there.LinkByName(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestADeviceThatIsNotThere(t *testing.T) {
	inNetwork(t, func(pid int, _ *netlink.Handle) {
		if err := netdevice.Move(map[string]specs.LinuxNetDevice{"three": {}}, pid); err == nil || !strings.Contains(err.Error(), `linux.netDevices["three"]`) {
			t.Errorf("got %v", err)
		}
	})
}
