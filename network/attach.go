package network

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/network/conntrack"
	"dhow/network/nft"
)

// Attach gives the network namespace at path netns its link, addresses, routes and host ports, and returns its
// addresses, primary first. It waits for the node's pod CIDRs. Attached twice, a sandbox keeps its addresses.
func (n *Network) Attach(ctx context.Context, sandboxID, netns string, config *cri.PodSandboxConfig) ([]netip.Addr, error) {
	if err := wait(ctx, n.address); err != nil {
		return nil, fmt.Errorf("wait for this node's pod CIDR: %w", err)
	}
	ports, err := hostPorts(config.GetPortMappings())
	if err != nil {
		return nil, err
	}
	rec, gateways, err := n.reserve(sandboxID, podName(config), ports)
	if err != nil {
		return nil, err
	}
	w := newWire(linkName(n.config.Name, sandboxID), rec.Addresses, gateways)
	n.reaper.cancel(w.name)
	if err = w.connect(n.host, netns); err == nil {
		err = n.openPorts(rec)
	}
	if err != nil {
		n.undo(rec)
		return nil, fmt.Errorf("connect sandbox %s: %w", sandboxID, err)
	}
	return rec.Addresses, nil
}

// Detach takes the sandbox's routes and host ports away at once and frees its addresses. Its link goes with its
// network namespace; if that lives on, the link is deleted a moment later.
func (n *Network) Detach(ctx context.Context, sandboxID string) error {
	if err := wait(ctx, n.ready); err != nil {
		return err
	}
	n.mu.Lock()
	rec := n.pods[sandboxID]
	n.mu.Unlock()
	if rec == nil {
		return nil
	}
	if err := n.disconnect(rec); err != nil {
		return fmt.Errorf("disconnect sandbox %s: %w", sandboxID, err)
	}
	return n.forget(rec)
}

func podName(config *cri.PodSandboxConfig) string {
	m := config.GetMetadata()
	return m.GetNamespace() + "/" + m.GetName()
}

// reserve records addresses and host ports for a sandbox.
func (n *Network) reserve(id, pod string, ports []hostPort) (*record, []netip.Addr, error) {
	if id == "" || id != filepath.Base(id) {
		return nil, nil, fmt.Errorf("sandbox id %q cannot be a file name", id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if rec := n.pods[id]; rec != nil {
		if gateways := n.gatewaysOf(rec.Addresses); len(gateways) == len(rec.Addresses) {
			return rec, gateways, nil
		}
		return nil, nil, fmt.Errorf("sandbox %s has addresses %v of an earlier pod CIDR", id, rec.Addresses)
	}
	if err := n.checkPorts(ports); err != nil {
		return nil, nil, err
	}
	addresses, err := n.takeAddresses()
	if err != nil {
		return nil, nil, err
	}
	rec := &record{ID: id, Pod: pod, Addresses: addresses, Ports: ports}
	if err = n.saveNode(); err == nil {
		err = n.records.save(rec)
	}
	if err != nil {
		n.releaseAddresses(addresses)
		return nil, nil, err
	}
	n.pods[id] = rec
	return rec, n.gateways(), nil
}

// gatewaysOf returns the node's address beside each pod address.
func (n *Network) gatewaysOf(pods []netip.Addr) []netip.Addr {
	var gateways []netip.Addr
	for _, a := range pods {
		for _, p := range n.cidrs {
			if p.Contains(a) {
				gateways = append(gateways, nodeAddress(p))
			}
		}
	}
	return gateways
}

func (n *Network) checkPorts(ports []hostPort) error {
	for _, p := range ports {
		for _, rec := range sorted(n.pods) {
			for _, taken := range rec.Ports {
				if p.clashes(taken) {
					return fmt.Errorf("host port %s is taken by pod %s", p, rec.Pod)
				}
			}
		}
	}
	return nil
}

func (n *Network) takeAddresses() ([]netip.Addr, error) {
	var taken []netip.Addr
	for _, p := range n.pools {
		a, err := p.take()
		if err != nil {
			n.releaseAddresses(taken)
			return nil, err
		}
		taken = append(taken, a)
	}
	return taken, nil
}

func (n *Network) releaseAddresses(addresses []netip.Addr) {
	for _, p := range n.pools {
		for _, a := range addresses {
			p.release(a)
		}
	}
}

// openPorts adds the elements of one sandbox to all families' tables at once.
func (n *Network) openPorts(rec *record) error {
	if len(rec.Ports) == 0 {
		return nil
	}
	err := n.nft.Change(func(b *nft.Batch) {
		for _, f := range n.config.families() {
			r := rules{f, n.config.Name}
			r.fill(r.sets(r.table(b)), rec, b.Add)
		}
	})
	if err != nil {
		return err
	}
	return n.forgetFlows(rec)
}

// closePorts writes the elements of all other sandboxes anew: after an interrupted Attach some of this one's
// may not be there, and then they could not be deleted one by one.
func (n *Network) closePorts(rec *record) error {
	if len(rec.Ports) == 0 {
		return nil
	}
	if err := n.replacePorts(rec.ID); err != nil {
		return err
	}
	return n.forgetFlows(rec)
}

// replacePorts writes the elements of all sandboxes but one anew.
func (n *Network) replacePorts(except string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nft.Change(func(b *nft.Batch) {
		for _, f := range n.config.families() {
			r := rules{f, n.config.Name}
			s := r.sets(r.table(b))
			for _, set := range s.all() {
				b.Flush(set)
			}
			for id, rec := range n.pods {
				if id != except {
					r.fill(s, rec, b.Add)
				}
			}
		}
	})
}

// forgetFlows makes the kernel decide anew about UDP packets to the sandbox's host ports, which otherwise go
// where they went before as long as they keep coming.
func (n *Network) forgetFlows(rec *record) error {
	for _, f := range n.config.families() {
		err := conntrack.Delete(f, func(flow conntrack.Flow) bool {
			for _, p := range rec.Ports {
				if flow.Protocol == p.Protocol && flow.Port == p.Port && (!p.IP.IsValid() || p.IP == flow.To) {
					return true
				}
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) disconnect(rec *record) error {
	if err := n.closePorts(rec); err != nil {
		return err
	}
	link := linkName(n.config.Name, rec.ID)
	if err := dropRoutes(n.host, link, rec.Addresses); err != nil {
		return err
	}
	n.reaper.add(link)
	return nil
}

func (n *Network) forget(rec *record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.records.remove(rec.ID); err != nil {
		return err
	}
	delete(n.pods, rec.ID)
	n.releaseAddresses(rec.Addresses)
	return nil
}

// undo gives back what an Attach that went wrong took.
func (n *Network) undo(rec *record) {
	err := n.disconnect(rec)
	if err == nil {
		err = n.forget(rec)
	}
	if err != nil {
		n.config.Log.Error("give back what a sandbox took that could not be connected", "sandbox", rec.ID, "err", err)
	}
}
