package networks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"

	"dhow/network/nft"
)

// Reset removes all bridges, the table, and the rules in others' chains. Links of containers go with their namespaces.
func (n *Networks) Reset() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var failed error
	for _, l := range links {
		rest, ours := strings.CutPrefix(l.Attrs().Name, n.config.Name+"-")
		if ours && l.Type() == "bridge" && len(rest) == 8 && strings.Trim(rest, "0123456789abcdef") == "" {
			failed = errors.Join(failed, deleteLink(l.Attrs().Name))
		}
	}
	var socket nft.Socket
	defer socket.Close()
	return errors.Join(failed, n.passage().Close(&socket), socket.DropTables(n.table()))
}
