// Package isolate runs a program of ours in network and mount namespaces of its own, so that a demonstration
// or a test can be a whole machine without touching the one it runs on. It isolates neither processes nor
// cgroups.
package isolate

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Address is the address that SetUp gives the machine, from the range for documentation (RFC 5737).
const Address = "192.0.2.10"

// Command makes cmd start in namespaces of its own and die with its parent. The new program calls SetUp first.
func Command(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd
}

// Again runs this program once more in namespaces of its own, with these arguments before its own ones, until it ends or ctx
// does; it has two minutes to clean up then.
func Again(ctx context.Context, args ...string) error {
	cmd := Command(exec.CommandContext(ctx, "/proc/self/exe", append(args, os.Args[1:]...)...))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Minute
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// SetUp makes the new namespaces habitable: mounts do not propagate out, loopback is up, and eth0
// carries Address and the default route (nothing is reachable through it).
func SetUp() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	return addUplink()
}

// addUplink makes a veth pair whose far end is nowhere; not a dummy link, which some kernels lack.
func addUplink() error {
	uplink := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "nowhere"}
	if err := netlink.LinkAdd(uplink); err != nil {
		return fmt.Errorf("add link eth0: %w", err)
	}
	far, err := netlink.LinkByName("nowhere")
	if err != nil {
		return fmt.Errorf("find eth0's peer: %w", err)
	}
	if err := netlink.LinkSetUp(far); err != nil {
		return fmt.Errorf("set eth0's peer up: %w", err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(Address).To4(), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(uplink, addr); err != nil {
		return fmt.Errorf("give eth0 %s: %w", Address, err)
	}
	if err := netlink.LinkSetUp(uplink); err != nil {
		return fmt.Errorf("set eth0 up: %w", err)
	}
	gateway := net.IPv4(192, 0, 2, 1)
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: uplink.Attrs().Index, Gw: gateway}); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return nil
}
