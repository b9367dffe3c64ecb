package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"dhow/network/nft"
)

const (
	// restBetween keeps a burst of changes from being written one by one. The first is written at once.
	restBetween = 10 * time.Millisecond
	// retryAfter is how long to wait when the kernel refused a change.
	retryAfter = time.Second
	// checkEvery is how often to look whether the table is still there.
	checkEvery = 30 * time.Second
)

// Proxy leads Services' traffic to their endpoints.
type Proxy struct {
	config Config
	watch  *watch
	health *healthServers
	ready  chan struct{}

	// Run's goroutine alone uses what follows.
	families []*family
	written  bool
	nft      nft.Socket
}

// family is one address family's table with what it should have.
type family struct {
	table table
	state *state
	// forget are UDP frontends with flows to be looked through after the next write.
	forget map[frontend][]netip.AddrPort
}

// New registers with the informers and changes nothing in the kernel.
func New(config Config) (*Proxy, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	w, err := newWatch(config.Informers, config.NodeName)
	if err != nil {
		return nil, err
	}
	p := &Proxy{config: config, watch: w, health: newHealthServers(config.Log), ready: make(chan struct{})}
	for _, f := range config.families() {
		p.families = append(p.families, &family{
			table: table{family: f, name: config.TableName, clusterCIDRs: f.Select(config.ClusterCIDRs),
				serviceCIDRs: f.Select(config.ServiceCIDRs), nodePorts: f.Select(config.NodePortAddresses)},
			state: newState(f), forget: map[frontend][]netip.AddrPort{},
		})
	}
	return p, nil
}

// Ready blocks until all Services that were there at the start are in the kernel.
func (p *Proxy) Ready(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run keeps the kernel in step until ctx ends. What it wrote stays: Services work on without it, and the next Run
// takes over without a gap.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.health.stopAll()
	err := p.watch.synced(ctx)
	if err == nil {
		p.loop(ctx)
	}
	return errors.Join(p.watch.end(), p.nft.Close())
}

// loop keeps in step until ctx ends.
func (p *Proxy) loop(ctx context.Context) {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		rest := restBetween
		if err := p.sync(ctx); err != nil {
			p.config.Log.Error("write Services to the kernel", "err", err)
			p.written = false
			rest = retryAfter
		}
		if !p.wait(ctx, rest, check.C) {
			return
		}
	}
}

// wait rests, and then waits for work; false when ctx ends.
func (p *Proxy) wait(ctx context.Context, rest time.Duration, check <-chan time.Time) bool {
	rested := time.NewTimer(rest)
	defer rested.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-rested.C:
	}
	for p.written {
		select {
		case <-ctx.Done():
			return false
		case <-p.watch.wake:
			return true
		case <-check:
			p.written = p.tablesThere()
		}
	}
	return true
}

func (p *Proxy) tablesThere() bool {
	for _, f := range p.families {
		there, err := p.nft.TableExists(f.table.family, f.table.name)
		if err != nil || !there {
			p.config.Log.Info("nftables table is gone, making it again", "table", f.table.name, "err", err)
			return false
		}
	}
	return true
}

// sync plans what changed and writes it, or everything if the kernel's state is not known.
func (p *Proxy) sync(ctx context.Context) error {
	p.plan(ctx)
	if !p.written {
		if err := p.writeAll(); err != nil {
			return err
		}
		p.written = true
		select {
		case <-p.ready:
		default:
			close(p.ready)
		}
	} else if err := p.write(); err != nil {
		return err
	}
	return p.forgetFlows()
}

func (p *Proxy) plan(ctx context.Context) {
	changes, zone := p.watch.take()
	self := node{name: p.config.NodeName, zone: zone, loopback: p.config.LoopbackNodePorts}
	for _, c := range changes {
		for _, f := range p.families {
			f.plan(c, self)
		}
		p.health.set(ctx, c.name, healthOf(c.service, c.slices, self))
	}
}

func (f *family) plan(c change, self node) {
	old, now := f.state.plans[c.name], planService(c.service, c.slices, self, f.table.family)
	if old == nil {
		old = &plan{}
	}
	f.state.set(c.name, now)
	if !flowsChanged(old, now) {
		return
	}
	for at := range old.flows {
		f.forget[at] = nil
	}
	for at, endpoints := range now.flows {
		f.forget[at] = endpoints
	}
}

// write sends all families' differences as one batch.
func (p *Proxy) write() error {
	differences := make([]difference, len(p.families))
	err := p.nft.Change(func(b *nft.Batch) {
		for i, f := range p.families {
			differences[i] = f.state.diff()
			if !differences[i].empty() {
				f.table.update(b, differences[i])
			}
		}
	})
	if err != nil {
		return err
	}
	for i, f := range p.families {
		f.state.done(differences[i])
	}
	return nil
}

// writeAll replaces whatever the tables hold in one transaction: there is no moment without rules. Tables that do
// not fit, of another version, are replaced altogether, and affinities with them.
func (p *Proxy) writeAll() error {
	err := p.replace(false)
	if err != nil {
		if again := p.replace(true); again != nil {
			return fmt.Errorf("replace nftables table %s: %w", p.config.TableName, errors.Join(err, again))
		}
	}
	return nil
}

func (p *Proxy) replace(anew bool) error {
	all := make([]difference, len(p.families))
	err := p.nft.Change(func(b *nft.Batch) {
		for i, f := range p.families {
			all[i] = f.state.all()
			f.table.replace(b, all[i], anew)
		}
	})
	if err != nil {
		return err
	}
	for i, f := range p.families {
		f.state.doneAll(all[i])
	}
	return nil
}

func (p *Proxy) forgetFlows() error {
	for _, f := range p.families {
		if err := forgetFlows(f.table.family, f.forget); err != nil {
			return err
		}
		clear(f.forget)
	}
	return nil
}

// Reset removes all that a Proxy of this configuration wrote to the kernel; only TableName counts.
func Reset(config Config) error {
	if config.TableName == "" {
		config.TableName = defaultTable
	}
	var socket nft.Socket
	return errors.Join(socket.DropTables(config.TableName), socket.Close())
}
