package dns

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// loop notices that forwarded queries come back: at the start it sends one with a name of its own. From then on it
// refuses what would be forwarded, and says so, where CoreDNS' plug-in of that name would end the process.
type loop struct {
	next   plugin.Handler
	server *Server
	name   string
	at     string // the address and port of the server block that the plug-in is in
	stop   chan struct{}
	seen   atomic.Int32
}

// seenIsLoop is how often the probe passes by when it goes round; it passes once in any case.
const seenIsLoop = 3

// The probe is sent again until it has passed: at first nobody listens yet.
const (
	probeAgain = 100 * time.Millisecond
	probeTime  = 30 * time.Second
)

func setupLoop(c *caddy.Controller) error {
	for c.Next() {
		if c.NextArg() {
			return plugin.Error("loop", c.ArgErr())
		}
	}
	config := dnsserver.GetConfig(c)
	l := &loop{server: running.Load(), name: fmt.Sprintf("%d.%d.%s", rand.Int64(), rand.Int64(), config.Zone), stop: make(chan struct{})}
	l.at = net.JoinHostPort(cmp.Or(config.ListenHosts[0], l.server.listen[0].Addr().String()), config.Port)
	if config.Zone == "." {
		l.name = l.name[:len(l.name)-1]
	}
	config.AddPlugin(func(next plugin.Handler) plugin.Handler {
		l.next = next
		return l
	})
	c.OnStartup(func() error {
		l.server.probes.Go(l.probe)
		return nil
	})
	stop := sync.OnceFunc(func() { close(l.stop) })
	c.OnShutdown(func() error {
		stop()
		return nil
	})
	return nil
}

func (l *loop) probe() {
	m := new(dns.Msg)
	m.SetQuestion(l.name, dns.TypeHINFO)
	late := time.After(probeTime)
	for {
		// Whether or not there is an answer: what counts is how often the question passes.
		_, _ = dns.Exchange(m, l.at)
		if l.seen.Load() > 0 {
			return
		}
		select {
		case <-time.After(probeAgain):
		case <-late:
			return
		case <-l.stop:
			return
		case <-l.server.ending: // if its instance has never quite started
			return
		}
	}
}

// Name implements plugin.Handler.
func (*loop) Name() string { return "loop" }

// ServeDNS implements plugin.Handler.
func (l *loop) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	seen := l.seen.Load()
	state := request.Request{W: w, Req: r}
	if state.QType() == dns.TypeHINFO && state.Name() == l.name {
		seen = l.seen.Add(1)
		if seen == seenIsLoop {
			l.server.log.Error("forwarded dns queries come back: forwarding is off until the corefile changes", "zone", l.name)
		}
	}
	if seen >= seenIsLoop {
		return dns.RcodeServerFailure, nil
	}
	return plugin.NextOrFailure(l.Name(), l.next, ctx, w, r)
}
