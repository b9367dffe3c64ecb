// Package carrier knows when packets can be sent by a link. A link that is up drops what is sent, silently, until a worker of
// the kernel's has seen that its other end is up as well (net/core/link_watch.c): on a busy machine that takes a while.
package carrier

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// patience with the kernel; a link whose other end is not up is left as it is then.
const patience = time.Second

// Await returns when the link sends; find is LinkByIndex of netlink or a handle. Since Linux 6.8 to ask for the link is enough:
// the kernel does then what it has put off.
func Await(find func(index int) (netlink.Link, error), index int) error {
	deadline, tick := time.Now().Add(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		link, err := find(index)
		if err != nil {
			return fmt.Errorf("ask for the state of link %d: %w", index, err)
		}
		if state := link.Attrs().OperState; state == netlink.OperUp || state == netlink.OperUnknown || time.Now().After(deadline) {
			return nil
		}
		<-tick.C
	}
}
