package dns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"

	// CoreDNS' plug-ins enter its registry when they are imported: it has no other way in.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"
)

// running is the server that plug-ins of a Corefile belong to. CoreDNS' registry is global, so this must be.
var running atomic.Pointer[Server]

// register enters our plug-ins into CoreDNS' registry. Ours are "kubernetes"; "loop", since CoreDNS' own ends the
// process when it finds one; and "reload", since CoreDNS' own looks for a file.
var register = sync.OnceFunc(func() {
	caddy.Quiet, dnsserver.Quiet = true, true
	plugin.Register("kubernetes", setupKubernetes)
	plugin.Register("loop", setupLoop)
	plugin.Register("reload", func(c *caddy.Controller) error {
		for c.Next() { // the ConfigMap is followed whatever intervals it names
			c.RemainingArgs()
		}
		return nil
	})
})

func claim(s *Server) error {
	if !running.CompareAndSwap(nil, s) {
		return errors.New("dns: another cluster DNS runs in this process")
	}
	register()
	return nil
}

func release(s *Server) { running.CompareAndSwap(s, nil) }

// serve runs CoreDNS with the cluster's Corefile, and with each that follows it.
func (s *Server) serve(ctx context.Context) error {
	select {
	case <-s.changed: // what it was at the start is read now
	default:
	}
	instance, err := s.start(ctx)
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	defer func() {
		instance.ShutdownCallbacks()
		if err := instance.Stop(); err != nil {
			s.log.Warn("cluster dns did not stop cleanly", "err", err)
		}
		instance.Wait()
		close(s.ending)
		s.probes.Wait()
	}()
	var publishing sync.WaitGroup
	publishing.Go(func() { s.publish(ctx) })
	defer publishing.Wait()
	close(s.ready)
	current := string(instance.Caddyfile().Body())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
		instance, current = s.restart(ctx, instance, current)
	}
}

// start uses the default Corefile when the cluster's is invalid: names must resolve.
func (s *Server) start(ctx context.Context) (*caddy.Instance, error) {
	text := s.corefile()
	in, err := s.input(text)
	if err == nil {
		var instance *caddy.Instance
		if instance, err = caddy.Start(in); err == nil {
			return instance, nil
		}
	}
	fallback := s.config.Corefile
	if text == fallback {
		return nil, err
	}
	s.refuse(ctx, err, "the default is used")
	if in, err = s.input(fallback); err != nil {
		return nil, err
	}
	return caddy.Start(in)
}

// restart changes over to the Corefile as it is now; when it is invalid the one in use stays.
func (s *Server) restart(ctx context.Context, instance *caddy.Instance, current string) (*caddy.Instance, string) {
	in, err := s.input(s.corefile())
	if err != nil {
		s.refuse(ctx, err, "the one before stays in use")
		return instance, current
	}
	if string(in.Body()) == current {
		return instance, current
	}
	next, err := instance.Restart(in)
	if err != nil {
		s.refuse(ctx, err, "the one before stays in use")
		return instance, current
	}
	s.log.Info("corefile reloaded", "configmap", s.namespace+"/"+s.name)
	return next, string(in.Body())
}

// corefile is the cluster's, or the default.
func (s *Server) corefile() string {
	m, err := s.config.Informers.Core().V1().ConfigMaps().Lister().ConfigMaps(s.namespace).Get(s.name)
	if err != nil || m.Data["Corefile"] == "" {
		return s.config.Corefile
	}
	return m.Data["Corefile"]
}

// input checks a Corefile as it was written, so that complaints name its lines, and adapts it.
func (s *Server) input(text string) (caddy.Input, error) {
	in := caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(text), ServerTypeName: "dns"}
	if err := caddy.ValidateAndExecuteDirectives(in, nil, true); err != nil {
		return nil, err
	}
	adapted, err := adapt(text, s.listen)
	if err != nil {
		return nil, err
	}
	in.Contents = []byte(adapted)
	return in, nil
}
