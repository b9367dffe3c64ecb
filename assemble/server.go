//go:build !nocluster

package assemble

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/identity"
	"dhow/internal/kernel"
	"dhow/internal/memory"
	"dhow/kinds/rbac"
	"dhow/lifecycle"
	"dhow/store"
)

// RunServer runs the control plane and this machine's node until ctx ends.
func RunServer(ctx context.Context, c ServerConfig) error {
	begin := time.Now()
	if err := c.complete(); err != nil {
		return err
	}
	if err := (kernel.Machine{}).Check(); err != nil {
		return err
	}
	release, err := takeLock(c.Lock)
	if err != nil {
		return err
	}
	defer release()
	quietLibraries(ctx, c.Log)
	memory.Limit()
	s, err := newServer(ctx, c)
	if err != nil {
		return err
	}
	return s.run(ctx, begin)
}

// server is everything that one machine runs.
type server struct {
	config     ServerConfig
	identity   *identity.Identity
	api        *apiserver.Server
	roles      *rbac.Authorizer
	store      *store.Store
	kubelet    net.Listener
	milestones milestones
	parts      []lifecycle.Part
}

func newServer(ctx context.Context, c ServerConfig) (*server, error) {
	s := &server{config: c, milestones: newMilestones()}
	listener, err := listen("https-listen-port", c.BindAddress, c.Port)
	if err != nil {
		return nil, err
	}
	if s.kubelet, err = listen("kubelet-port", netip.Addr{}, c.KubeletPort); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := s.open(ctx, listener); err != nil {
		return nil, errors.Join(err, listener.Close(), s.kubelet.Close())
	}
	return s, nil
}

// open opens what is kept on disk and builds the parts on it.
func (s *server) open(ctx context.Context, listener net.Listener) (err error) {
	if s.identity, err = identity.Open(s.config.PKI); err != nil {
		return err
	}
	if err := s.openAccess(); err != nil {
		return err
	}
	if s.store, err = store.New(store.Config{Dir: s.config.Etcd, Log: s.config.Log}); err != nil {
		return err
	}
	if err := s.build(ctx, listener); err != nil {
		s.store.Close()
		return err
	}
	return nil
}

func (s *server) build(ctx context.Context, listener net.Listener) error {
	if err := s.store.Ready(ctx); err != nil {
		return err
	}
	if err := s.buildAPI(ctx, listener); err != nil {
		return err
	}
	if err := s.identity.WriteKubeconfig(s.config.Kubeconfig, s.url(), "system:admin", "system:masters"); err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "etcd", Run: s.store.Run, Ready: s.store.Ready})
	s.add(lifecycle.Part{Name: "api server", Run: s.api.Run, Ready: s.api.Ready, StopWithin: s.api.StopsWithin()})
	if err := s.buildControl(); err != nil {
		return err
	}
	return s.buildNode()
}

func (s *server) add(p lifecycle.Part) { s.parts = append(s.parts, p) }

// listen takes a port, or says by which flag to choose another.
func listen(flag string, address netip.Addr, port int) (net.Listener, error) {
	host := ""
	if address.IsValid() && !address.IsUnspecified() {
		host = address.String()
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d: %w (choose another by --%s)", port, syscall.EADDRINUSE, flag)
	}
	return l, err
}

// url is where the administrator on this machine reaches the API.
func (s *server) url() string {
	host := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if a := s.config.BindAddress; a.IsValid() && !a.IsUnspecified() {
		host = a
	}
	return "https://" + netip.AddrPortFrom(host, uint16(s.config.Port)).String()
}

// servingNames are all names and addresses by which the API is reached.
func (s *server) servingNames() []string {
	c := s.config
	names := []string{
		"localhost", "127.0.0.1", "::1", c.NodeName, c.NodeIP.String(), c.AdvertiseAddress.String(), nth(c.ServiceCIDRs[0], 1).String(),
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.ClusterDomain,
	}
	if a := c.BindAddress; a.IsValid() && !a.IsUnspecified() {
		names = append(names, a.String())
	}
	return append(names, c.TLSSANs...)
}

func (s *server) buildAPI(ctx context.Context, listener net.Listener) error {
	c := s.config
	guard := func(store *genericregistry.Store) {
		s.roles.Guard(store, func() authorizer.Authorizer { return s.api.Authorizer() })
	}
	shared := func() informers.SharedInformerFactory { return s.api.Informers() }
	all, err := kinds(c, s.identity, s.admin, shared, guard)
	if err != nil {
		return err
	}
	config := apiserver.Config{
		Kinds: all, Store: s.store, Identity: s.identity, Listener: listener, ServingNames: s.servingNames(),
		Advertise: netip.AddrPortFrom(c.AdvertiseAddress, uint16(c.Port)), ServiceIP: nth(c.ServiceCIDRs[0], 1),
		Authorizer: func(f informers.SharedInformerFactory) (authorizer.Authorizer, error) {
			s.roles, err = rbac.NewAuthorizer(f)
			return s.roles, err
		},
		NodeAuthorizer: nodeAuthorizer, Authorization: c.Authorization,
		Authentication: c.Authentication, ServiceAccounts: c.ServiceAccounts.Options,
		Admission: c.Admission.make(plugins()), LastAdmission: c.Admission.make(lastPlugins()), NoAdmission: c.Admission.without(ownPlugins()), Log: c.Log,
		Milestones: s.milestones.ofStart(), Components: s.milestones.components(),
	}
	if err := c.Operations.apply(ctx, &config, c.Encryption); err != nil {
		return err
	}
	s.api, err = apiserver.New(config)
	return err
}

// admin acts as the server itself.
func (s *server) admin() kubernetes.Interface {
	client, err := s.api.Client("system:apiserver", "system:masters")
	if err != nil {
		panic(err) // the configuration is our own
	}
	return client
}

// run starts the parts in order and tells how it goes.
func (s *server) run(ctx context.Context, begin time.Time) error {
	say := func(format string, args ...any) { fmt.Fprintf(s.config.Progress, format+"\n", args...) }
	last := s.parts[len(s.parts)-1].Name
	ctx, stop := context.WithCancel(ctx)
	var aside sync.WaitGroup
	defer aside.Wait()
	defer stop()
	group := lifecycle.Group{Parts: s.parts, Log: s.config.Log, Started: func(name string, _ time.Duration) {
		say("%8s  %s", time.Since(begin).Round(time.Millisecond), name)
		if name == last {
			say("\nThe cluster is up. Next:\n  dhow%s kubectl get nodes\n  export KUBECONFIG=%s", s.rootFlag(), s.config.Kubeconfig)
			aside.Go(func() { memory.Pace(ctx, s.config.Log) })
		}
	}}
	return group.Run(ctx)
}

func (s *server) rootFlag() string {
	if s.config.Root == "/" {
		return ""
	}
	return " --root " + s.config.Root
}
