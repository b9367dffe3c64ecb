// Package dns is the cluster's DNS: CoreDNS as a library, with a plug-in of our own that answers for the cluster's
// domain out of informers in this process. Ordinary Corefiles work. It is not a resolver of its own: what is not
// the cluster's is forwarded.
package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"dhow/dns/records"
)

// Config is what a DNS server needs.
type Config struct {
	// Client acts as system:coredns.
	Client kubernetes.Interface
	// Informers are shared and started by the caller, after New.
	Informers informers.SharedInformerFactory
	// NodeName is the node whose address is published as an endpoint of the DNS Service; "" publishes nothing.
	NodeName string
	// Domain is the cluster's, "cluster.local" by default.
	Domain string
	// Listen blocks until the addresses to listen on exist, and returns them. Their ports are the one of server
	// blocks that name none, or port 53.
	Listen func(ctx context.Context) ([]netip.AddrPort, error)
	// ClusterIPs are the addresses of the DNS Service, one for each IP family.
	ClusterIPs []netip.Addr
	// ConfigMap holds the Corefile under the key "Corefile"; "kube-system/coredns" by default.
	ConfigMap string
	// Corefile is what is used, and put into the ConfigMap, when the cluster has none; DefaultCorefile by default.
	Corefile string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Server answers for the cluster's domain and forwards the rest.
type Server struct {
	config    Config
	log       *slog.Logger
	namespace string // of the ConfigMap
	name      string
	index     *records.Index
	nodes     corelisters.NodeLister
	handlers  []handler
	changed   chan struct{} // has one when the Corefile may have changed
	ready     chan struct{} // closed once queries are answered
	synced    atomic.Bool
	probes    sync.WaitGroup   // for forwarding loops
	ending    chan struct{}    // closed when they are to end
	listen    []netip.AddrPort // set once, before the first Corefile is loaded
}

type handler struct {
	informer     cache.SharedIndexInformer
	registration cache.ResourceEventHandlerRegistration
}

// New makes a server and registers its informers.
func New(c Config) (*Server, error) {
	if c.Client == nil || c.Informers == nil || c.Listen == nil {
		return nil, errors.New("dns: Client, Informers and Listen must be set")
	}
	c.Domain = strings.ToLower(strings.Trim(cmp.Or(c.Domain, "cluster.local"), "."))
	c.Corefile = cmp.Or(c.Corefile, DefaultCorefile(c.Domain))
	namespace, name, ok := strings.Cut(cmp.Or(c.ConfigMap, "kube-system/coredns"), "/")
	if !ok {
		return nil, fmt.Errorf("dns: ConfigMap %q is not namespace/name", c.ConfigMap)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Server{
		config: c, log: c.Log, namespace: namespace, name: name,
		nodes: c.Informers.Core().V1().Nodes().Lister(),
		index: records.New(), changed: make(chan struct{}, 1), ready: make(chan struct{}), ending: make(chan struct{}),
	}
	if err := s.follow(); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	return s, nil
}

// Ready blocks until queries are answered.
func (s *Server) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run answers until ctx ends. One server at a time can run in a process: CoreDNS keeps its plug-ins in globals.
func (s *Server) Run(ctx context.Context) error {
	defer s.unfollow()
	if err := claim(s); err != nil {
		return err
	}
	defer release(s)
	checks := []cache.DoneChecker{s.config.Informers.Core().V1().Nodes().Informer().HasSyncedChecker()}
	for _, h := range s.handlers {
		checks = append(checks, h.registration.HasSyncedChecker())
	}
	if !cache.WaitFor(ctx, "", checks...) {
		return nil
	}
	s.synced.Store(true)
	var err error
	if s.listen, err = s.config.Listen(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("dns: %w", err)
	}
	return s.serve(ctx)
}

// follow registers for all that names stand for, and for the Corefile.
func (s *Server) follow() error {
	core, discovery := s.config.Informers.Core().V1(), s.config.Informers.Discovery().V1()
	for _, f := range []struct {
		informer cache.SharedIndexInformer
		set      func(obj, old any)
		gone     func(obj any)
	}{
		{core.Namespaces().Informer(),
			func(o, _ any) { s.index.SetNamespace(o.(*corev1.Namespace)) }, func(o any) { s.index.RemoveNamespace(o.(*corev1.Namespace)) }},
		{core.Services().Informer(),
			func(o, _ any) { s.index.SetService(o.(*corev1.Service)) }, func(o any) { s.index.RemoveService(o.(*corev1.Service)) }},
		{discovery.EndpointSlices().Informer(),
			func(o, old any) {
				s.index.SetSlice(o.(*discoveryv1.EndpointSlice), as[*discoveryv1.EndpointSlice](old))
			},
			func(o any) { s.index.RemoveSlice(o.(*discoveryv1.EndpointSlice)) }},
		{core.Pods().Informer(),
			func(o, old any) { s.index.SetPod(o.(*corev1.Pod), as[*corev1.Pod](old)) }, func(o any) { s.index.RemovePod(o.(*corev1.Pod)) }},
		{core.ConfigMaps().Informer(), func(o, _ any) { s.corefileChanged(o) }, s.corefileChanged},
	} {
		registration, err := f.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { f.set(obj, nil) },
			UpdateFunc: func(old, obj any) { f.set(obj, old) },
			DeleteFunc: func(obj any) {
				if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = gone.Obj
				}
				f.gone(obj)
			},
		})
		if err != nil {
			return err
		}
		s.handlers = append(s.handlers, handler{f.informer, registration})
	}
	return nil
}

// as is the zero value for nil.
func as[T any](obj any) T {
	typed, _ := obj.(T)
	return typed
}

// unfollow ends the registrations. An informer that has stopped refuses, and has none any more.
func (s *Server) unfollow() {
	for _, h := range s.handlers {
		_ = h.informer.RemoveEventHandler(h.registration)
	}
}

func (s *Server) corefileChanged(obj any) {
	if m, ok := obj.(*corev1.ConfigMap); !ok || m.Namespace != s.namespace || m.Name != s.name {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
