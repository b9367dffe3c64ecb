package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	nodelisters "k8s.io/client-go/listers/node/v1"
	"k8s.io/client-go/tools/cache"

	"dhow/container"
	"dhow/image"
	"dhow/internal/eventlog"
)

// Config of a Node.
type Config struct {
	// Name is the node's in the cluster.
	Name string
	// Client acts as system:node:<Name>.
	Client kubernetes.Interface
	// Informers are shared and started by the caller, after New. What they return is read-only.
	Informers informers.SharedInformerFactory
	Runtime   container.Runtime
	Images    image.Service
	// SetPodCIDRs is called once the cluster has given the node its pods' addresses.
	SetPodCIDRs func(context.Context, []netip.Prefix) error
	// NodeIPs are the machine's own addresses, primary first.
	NodeIPs       []netip.Addr
	ClusterDNS    netip.Addr
	ClusterDomain string
	// Volumes and Logs are where pods' files and logs lie (/var/lib/dhow/pods, /var/lib/dhow/logs/pods).
	Volumes, Logs string
	// Manifests is the directory of static pods' manifests; "" for none.
	Manifests string
	// Listener and TLS serve the node's own API. Callers show a certificate of a member of system:masters.
	Listener net.Listener
	TLS      *tls.Config
	// Labels and Taints are given to the node when it registers.
	Labels  map[string]string
	Taints  []corev1.Taint
	MaxPods int
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Node is the agent at work.
type Node struct {
	config      Config
	log         *slog.Logger
	events      recorder
	tokens      tokenCache
	features    features
	allocatable corev1.ResourceList
	pods        corelisters.PodLister
	services    corelisters.ServiceLister
	configMaps  corelisters.ConfigMapLister
	secrets     corelisters.SecretLister
	nodes       corelisters.NodeLister
	classes     nodelisters.RuntimeClassLister
	synced      []cache.DoneChecker
	podEvents   cache.SharedIndexInformer
	changed     chan struct{} // a ConfigMap or Secret has changed
	ready       chan struct{}

	mu      sync.Mutex
	workers map[types.UID]*worker
	running sync.WaitGroup
}

var everything = labels.Everything()

// New checks the configuration and registers its informers.
func New(c Config) (*Node, error) {
	if c.Name == "" || c.Client == nil || c.Informers == nil || c.Runtime == nil || c.Images == nil || len(c.NodeIPs) == 0 {
		return nil, errors.New("node: Name, Client, Informers, Runtime, Images and NodeIPs must be set")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.MaxPods == 0 {
		c.MaxPods = 250
	}
	core := c.Informers.Core().V1()
	n := &Node{
		config: c, log: c.Log, events: recorder{eventlog.New(eventlog.Config{Client: c.Client, Component: "kubelet", Host: c.Name, Log: c.Log})}, workers: map[types.UID]*worker{}, tokens: tokenCache{held: map[tokenKey]heldToken{}},
		pods: core.Pods().Lister(), services: core.Services().Lister(), configMaps: core.ConfigMaps().Lister(),
		secrets: core.Secrets().Lister(), nodes: core.Nodes().Lister(), classes: c.Informers.Node().V1().RuntimeClasses().Lister(),
		podEvents: core.Pods().Informer(), changed: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	for _, informer := range []cache.SharedIndexInformer{
		core.Pods().Informer(), core.Services().Informer(), core.ConfigMaps().Informer(), core.Secrets().Informer(), core.Nodes().Informer(), c.Informers.Node().V1().RuntimeClasses().Informer(),
	} {
		n.synced = append(n.synced, informer.HasSyncedChecker())
	}
	capacity, err := machineCapacity(c.MaxPods, c.Volumes)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	n.allocatable = capacity
	return n, nil
}

// Run is the node's life: it blocks until ctx ends. Pods go on without it.
func (n *Node) Run(ctx context.Context) error {
	if !cache.WaitFor(ctx, "", n.synced...) {
		return nil
	}
	n.running.Go(func() { n.events.Run(ctx) })
	n.running.Go(func() { n.renewLease(ctx) })
	n.running.Go(func() { n.watchRuntime(ctx) })
	n.running.Go(func() { n.watchFiles(ctx) })
	served := make(chan error, 1)
	n.running.Go(func() { served <- n.serve(ctx) })
	if err := n.register(ctx); err != nil {
		if ctx.Err() == nil {
			return fmt.Errorf("register node %s: %w", n.config.Name, err)
		}
		return n.stop(nil)
	}
	if err := n.cleanUpOrphans(ctx); err != nil {
		n.log.Error("pods that no one knows could not be removed", "err", err)
	}
	registration, err := n.followPods(ctx)
	if err != nil {
		return err
	}
	close(n.ready)
	n.running.Go(func() { n.followManifests(ctx) })
	n.running.Go(func() { n.rotateLogs(ctx) })
	n.running.Go(func() { n.reportStatus(ctx) })
	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
	}
	_ = n.podEvents.RemoveEventHandler(registration)
	return n.stop(err)
}

func (n *Node) stop(err error) error {
	n.running.Wait()
	return err
}

// Ready blocks until the node has said that it is Ready.
func (n *Node) Ready(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
