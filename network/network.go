package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dhow/network/nft"
)

// repairEvery is how often Run looks whether the node's objects are still there.
const repairEvery = 30 * time.Second

// Network connects pods. It implements container.Network.
type Network struct {
	config  Config
	records records
	host    *netlink.Handle
	node    node
	reaper  reaper
	nft     nft.Socket

	ready   chan struct{} // closed when Run has made the node's objects
	address chan struct{} // closed when the node has its addresses

	mu    sync.Mutex // guards what follows
	cidrs []netip.Prefix
	pools []*pool
	pods  map[string]*record
	last  []netip.Addr
}

// New checks the configuration.
func New(config Config) (*Network, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	n := &Network{
		config: config, records: records{config.StateDir}, host: host,
		node:   newNode(config, host),
		reaper: newReaper(host, config.Log),
		ready:  make(chan struct{}), address: make(chan struct{}),
	}
	return n, nil
}

func newNode(config Config, host *netlink.Handle) node {
	ipv6 := slices.ContainsFunc(config.families(), func(f nft.Family) bool { return f.Bits == 128 })
	return node{host: host, name: config.Name, serviceCIDRs: config.ServiceCIDRs, ipv6: ipv6}
}

// Run makes the node's link and tables, adopts the pods of an earlier run, and repairs the node's objects until
// ctx ends. Pods stay connected when it returns.
func (n *Network) Run(ctx context.Context) error {
	defer n.close()
	if err := n.start(); err != nil {
		return err
	}
	close(n.ready)
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		n.reaper.run(ctx)
	}()
	defer func() { <-reaped }()
	ticker := time.NewTicker(repairEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := n.repair(); err != nil {
				n.config.Log.Error("repair pod network", "err", err)
			}
		}
	}
}

func (n *Network) close() {
	n.host.Close()
	if err := n.nft.Close(); err != nil {
		n.config.Log.Error("close pod network", "err", err)
	}
}

// Ready blocks until Run has made the node's own link and tables. Pods wait for SetPodCIDRs beyond that.
func (n *Network) Ready(ctx context.Context) error { return wait(ctx, n.ready) }

// NodeAddresses blocks until the node has its own addresses, the first of each pod CIDR, and returns them.
func (n *Network) NodeAddresses(ctx context.Context) ([]netip.Addr, error) {
	if err := wait(ctx, n.address); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gateways(), nil
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *Network) start() error {
	pods, node, err := n.records.load()
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods, n.last = pods, node.Last
	if err := n.node.enableForwarding(); err != nil {
		return err
	}
	if _, err := n.node.ensureLink(); err != nil {
		return err
	}
	if err := n.replaceTables(); err != nil {
		return err
	}
	n.openPassage()
	return n.reapStrangers()
}

// reapStrangers removes pod links that no record knows: their sandboxes were detached by a daemon that died then.
func (n *Network) reapStrangers() error {
	known := map[string]bool{}
	for id := range n.pods {
		known[linkName(n.config.Name, id)] = true
	}
	links, err := n.host.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if name := l.Attrs().Name; isPodLink(n.config.Name, name) && !known[name] {
			n.reaper.add(name)
		}
	}
	return nil
}

// SetPodCIDRs waits for Ready and says which addresses this node's pods get, at most one prefix of each family, primary first. It may
// be called again with the same; other ones hold for later pods only.
func (n *Network) SetPodCIDRs(ctx context.Context, prefixes []netip.Prefix) error {
	if err := n.checkCIDRs(prefixes); err != nil {
		return err
	}
	if err := wait(ctx, n.ready); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.Equal(prefixes, n.cidrs) {
		return nil
	}
	_, old, err := n.records.load()
	if err != nil {
		return err
	}
	if err := n.node.retract(without(old.PodCIDRs, prefixes)); err != nil {
		return err
	}
	n.cidrs = slices.Clone(prefixes)
	n.fillPools()
	if err := n.saveNode(); err != nil {
		return err
	}
	if _, err := n.node.apply(prefixes); err != nil {
		return err
	}
	if err := n.routePods(); err != nil {
		return err
	}
	select {
	case <-n.address:
	default:
		close(n.address)
	}
	return nil
}

func (n *Network) checkCIDRs(prefixes []netip.Prefix) error {
	if len(prefixes) == 0 {
		return errors.New("node has no pod CIDR")
	}
	seen := map[int]bool{}
	for _, p := range prefixes {
		bits := p.Addr().BitLen()
		if !slices.ContainsFunc(n.config.families(), func(f nft.Family) bool { return f.Bits == bits }) {
			return fmt.Errorf("pod CIDR %s: cluster has no pod addresses of that family", p)
		}
		if seen[bits] {
			return fmt.Errorf("pod CIDRs %v: two of one family", prefixes)
		}
		if bits-p.Bits() < 2 {
			return fmt.Errorf("pod CIDR %s has no room for a pod", p)
		}
		seen[bits] = true
	}
	return nil
}

func (n *Network) fillPools() {
	n.pools = nil
	for _, prefix := range n.cidrs {
		p := newPool(prefix)
		for _, rec := range n.pods {
			for _, a := range rec.Addresses {
				p.keep(a)
			}
		}
		for _, a := range n.last {
			p.resume(a)
		}
		n.pools = append(n.pools, p)
	}
}

func (n *Network) saveNode() error {
	n.last = nil
	for _, p := range n.pools {
		n.last = append(n.last, p.last)
	}
	return n.records.saveNode(nodeRecord{PodCIDRs: n.cidrs, Last: n.last})
}

func (n *Network) gateways() []netip.Addr {
	var addrs []netip.Addr
	for _, p := range n.cidrs {
		addrs = append(addrs, nodeAddress(p))
	}
	return addrs
}

// repair makes again what someone else removed.
func (n *Network) repair() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.openPassage()
	if err := n.node.enableForwarding(); err != nil {
		return err
	}
	if len(n.cidrs) > 0 {
		missing, err := n.node.apply(n.cidrs)
		if err == nil && missing {
			err = n.routePods()
		}
		if err != nil {
			return err
		}
	}
	for _, f := range n.config.families() {
		there, err := n.nft.TableExists(f, n.config.Name)
		if err != nil {
			return err
		}
		if !there {
			n.config.Log.Info("nftables table is gone, making it again", "table", n.config.Name)
			return n.replaceTables()
		}
	}
	return nil
}

// openPassage lets pods' packets through firewalls of others that would drop them. Without it this machine's other
// pods still work, so that it cannot be done is no reason to stop.
func (n *Network) openPassage() {
	opened, err := passage(n.config).Open(&n.nft)
	if err != nil {
		n.config.Log.Error("let pods' packets through other tables", "err", err)
	}
	for _, chain := range opened {
		n.config.Log.Info("let pods' packets through a chain that drops what it does not know", "chain", chain)
	}
}

func passage(config Config) nft.Passage {
	return nft.Passage{Links: config.Name, Comment: config.Name + " pods"}
}

// routePods makes the host's routes to all pods whose links are there.
func (n *Network) routePods() error {
	for _, rec := range n.pods {
		gateways := n.gatewaysOf(rec.Addresses)
		if len(gateways) != len(rec.Addresses) {
			continue // of an earlier pod CIDR
		}
		w := newWire(linkName(n.config.Name, rec.ID), rec.Addresses, gateways)
		link, err := n.host.LinkByName(w.name)
		if isGone(err) {
			continue // its sandbox died and will be detached
		}
		if err == nil {
			err = w.hostSide(n.host, link.Attrs().Index)
		}
		if err != nil {
			return fmt.Errorf("connect sandbox %s again: %w", rec.ID, err)
		}
	}
	return nil
}

func (n *Network) replaceTables() error {
	return n.nft.Change(func(b *nft.Batch) {
		for _, f := range n.config.families() {
			rules{f, n.config.Name}.replace(b, n.config.ClusterCIDRs, n.pods)
		}
	})
}

func without(prefixes, drop []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return slices.Contains(drop, p) })
}

// sorted returns the records in a stable order.
func sorted(pods map[string]*record) []*record {
	var all []*record
	for _, id := range slices.Sorted(maps.Keys(pods)) {
		all = append(all, pods[id])
	}
	return all
}
