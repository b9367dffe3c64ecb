package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// grace is how long a network namespace has to take its link with it. That is free, while deleting a link costs
// some 30 ms of waiting in the kernel.
const grace = time.Second

// reaper deletes links that outlive their sandbox.
type reaper struct {
	host *netlink.Handle
	log  *slog.Logger
	wake chan struct{}

	mu  *sync.Mutex // guards due
	due map[string]time.Time
}

func newReaper(host *netlink.Handle, log *slog.Logger) reaper {
	return reaper{host: host, log: log, wake: make(chan struct{}, 1), mu: &sync.Mutex{}, due: map[string]time.Time{}}
}

// add plans a link's end.
func (r reaper) add(link string) {
	r.mu.Lock()
	r.due[link] = time.Now().Add(grace)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// cancel keeps a link that is about to be made again.
func (r reaper) cancel(link string) {
	r.mu.Lock()
	delete(r.due, link)
	r.mu.Unlock()
}

func (r reaper) run(ctx context.Context) {
	for {
		var timer <-chan time.Time
		if next, ok := r.next(); ok {
			timer = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer:
			r.reap(time.Now())
		}
	}
}

func (r reaper) next() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var next time.Time
	for _, at := range r.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}

func (r reaper) reap(now time.Time) {
	for _, link := range r.take(now) {
		if err := deleteLink(r.host, link); err != nil {
			r.log.Error("delete a link that outlived its sandbox", "link", link, "err", err)
		}
	}
}

// take returns the links whose time has come.
func (r reaper) take(now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var links []string
	for link, at := range r.due {
		if !at.After(now) {
			links = append(links, link)
			delete(r.due, link)
		}
	}
	return links
}

// dropRoutes takes a sandbox off the host's routing table; what is gone already is no error.
func dropRoutes(host *netlink.Handle, linkName string, addresses []netip.Addr) error {
	link, err := host.LinkByName(linkName)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", linkName, err)
	}
	for _, a := range addresses {
		err := host.RouteDel(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(a), Scope: unix.RT_SCOPE_LINK})
		if err != nil && !errors.Is(err, unix.ESRCH) && !isGone(err) {
			return fmt.Errorf("remove route of %s: %w", a, err)
		}
	}
	return nil
}
