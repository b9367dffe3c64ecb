package network

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dhow/network/nft"
)

// Reset removes every link, route, table and address that a Network of this configuration made on the host, and
// its state directory. Nothing may run on it any more. The forwarding sysctls stay on: others may need them.
func Reset(config Config) error {
	config, err := config.withDefaults()
	if err != nil {
		return err
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer host.Close()
	if _, err := os.Stat(config.StateDir); err == nil {
		_, node, err := records{config.StateDir}.load()
		if err != nil {
			return err
		}
		if err := newNode(config, host).retract(node.PodCIDRs); err != nil {
			return err
		}
	}
	return errors.Join(deleteLinks(host, config.Name), dropTables(config), os.RemoveAll(config.StateDir))
}

func deleteLinks(host *netlink.Handle, name string) error {
	links, err := host.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		link := l.Attrs().Name
		if link != name+"0" && !isPodLink(name, link) {
			continue
		}
		if err := host.LinkDel(l); err != nil && !isGone(err) {
			return fmt.Errorf("delete link %s: %w", link, err)
		}
	}
	return nil
}

func dropTables(config Config) error {
	var socket nft.Socket
	return errors.Join(socket.DropTables(config.Name), passage(config).Close(&socket), socket.Close())
}
