// Package netdevice gives a container network devices of the machine (runtime-spec, config-linux.md, "Network Devices"). It
// makes none, and when the container has ended the kernel decides what becomes of them.
package netdevice

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Move gives the devices, which are by their names here, to a process' network namespace, with their global permanent
// addresses and new names, and sets them up.
func Move(devices map[string]specs.LinuxNetDevice, pid int) error {
	if len(devices) == 0 {
		return nil
	}
	space, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer space.Close()
	there, err := netlink.NewHandleAt(netns.NsHandle(space.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("linux.netDevices: %w", err)
	}
	defer there.Close()
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		if err := move(name, devices[name].Name, there, space); err != nil {
			return fmt.Errorf("linux.netDevices[%q]: %w", name, err)
		}
	}
	return nil
}

func move(name, wanted string, there *netlink.Handle, space *os.File) error {
	if wanted == "" {
		wanted = name
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	if _, err := there.LinkByName(wanted); err == nil {
		return fmt.Errorf("the container's network has a device %q already; a name such as eth%%d lets the kernel choose one", wanted)
	}
	before, err := there.LinkList()
	if err != nil {
		return err
	}
	if err := send(link.Attrs().Index, wanted, space); err != nil {
		return fmt.Errorf("move it to the container: %w", err)
	}
	moved, err := arrived(there, before)
	if err != nil {
		return err
	}
	return configure(there, moved, addresses)
}

// send moves a device and renames it in one step: its name may be taken there.
func send(index int, name string, space *os.File) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(space.Fd()))))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// arrived finds the device that was not there before; its name may be the kernel's choice and its index a new one.
func arrived(there *netlink.Handle, before []netlink.Link) (netlink.Link, error) {
	known := map[int]bool{}
	for _, l := range before {
		known[l.Attrs().Index] = true
	}
	now, err := there.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range now {
		if !known[l.Attrs().Index] {
			return l, nil
		}
	}
	return nil, errors.New("it has not arrived in the container's network")
}

// configure gives back what a move takes away.
func configure(there *netlink.Handle, link netlink.Link, addresses []netlink.Addr) error {
	for i := range addresses {
		a := &addresses[i]
		if a.Scope != unix.RT_SCOPE_UNIVERSE || a.Flags&unix.IFA_F_PERMANENT == 0 {
			continue
		}
		if err := there.AddrAdd(link, &netlink.Addr{IPNet: a.IPNet, Peer: a.Peer, Broadcast: a.Broadcast, Flags: a.Flags &^ unix.IFA_F_PERMANENT}); err != nil {
			return fmt.Errorf("address %s: %w", a.IPNet, err)
		}
	}
	if err := there.LinkSetUp(link); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}
