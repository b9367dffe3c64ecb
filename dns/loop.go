package dns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

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
	seen   atomic.Int32
}

// seenIsLoop is how often the probe passes by when it goes round; it passes once in any case.
const seenIsLoop = 3

func setupLoop(c *caddy.Controller) error {
	for c.Next() {
		if c.NextArg() {
			return plugin.Error("loop", c.ArgErr())
		}
	}
	config := dnsserver.GetConfig(c)
	l := &loop{server: running.Load(), name: fmt.Sprintf("%d.%d.%s", rand.Int64(), rand.Int64(), config.Zone)}
	if config.Zone == "." {
		l.name = l.name[:len(l.name)-1]
	}
	config.AddPlugin(func(next plugin.Handler) plugin.Handler {
		l.next = next
		return l
	})
	c.OnStartup(func() error {
		l.server.probes.Go(l.probe) // ends with its own time-out
		return nil
	})
	return nil
}

func (l *loop) probe() {
	m := new(dns.Msg)
	m.SetQuestion(l.name, dns.TypeHINFO)
	// Whether or not there is an answer: what counts is how often the question passes.
	_, _ = dns.Exchange(m, l.server.listen[0].String())
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
