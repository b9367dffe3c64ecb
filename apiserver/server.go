package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/flagz"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver/aggregation"
	"dhow/apiserver/audit"
	"dhow/apiserver/authn"
	"dhow/apiserver/authz"
	"dhow/apiserver/customresources"
	"dhow/apiserver/encryption"
	"dhow/apiserver/groups"
	"dhow/apiserver/review"
	"dhow/apiserver/token"
	"dhow/identity"
	"dhow/store"
)

// Config of a Server.
type Config struct {
	// Kinds are what it serves; a group's first kind names the group's preferred version.
	Kinds []Kind
	Store *store.Store
	// Identity vouches for clients and signs service-account tokens.
	Identity *identity.Identity
	// Listener is where HTTPS is served; the server closes it.
	Listener net.Listener
	// ServingNames are the names and addresses by which clients reach the server.
	ServingNames []string
	// Advertise is the address and port at which pods reach the server: the endpoint of the Service
	// default/kubernetes, whose own address is ServiceIP.
	Advertise netip.AddrPort
	ServiceIP netip.Addr
	// Authorizer decides by roles (RBAC) what members of system:masters are not asked about, and NodeAuthorizer what
	// nodes may do. Authorization is what the administrator has chosen of them and of others; without any, everything
	// is refused.
	Authorizer, NodeAuthorizer func(informers.SharedInformerFactory) (authorizer.Authorizer, error)
	Authorization              authz.Options
	// Admission makes the plug-ins, in the order they run. Behind them run the webhooks and policies that users add,
	// and then those that LastAdmission makes: quota. A plug-in that is an initializer.WantsAuthorizer is given the
	// server's.
	Admission, LastAdmission func(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error)
	// Authentication is what the administrator has chosen of ways to say who one is, ServiceAccounts of tokens.
	Authentication  authn.Options
	ServiceAccounts token.Options
	// NoAdmission names those of MutatingAdmissionPolicy, MutatingAdmissionWebhook, ValidatingAdmissionPolicy and
	// ValidatingAdmissionWebhook that do not run.
	NoAdmission []string
	// Authenticators are asked besides client certificates and before anonymity.
	Authenticators []authenticator.Request
	// Limits, DefaultLimits() if zero.
	Limits Limits
	// Audit records requests; nil records none.
	Audit *audit.Config
	// Encryption of what is stored; nil stores it as it is.
	Encryption *encryption.Encryption
	// Flags are what /flagz shows, if set.
	Flags flagz.Reader
	// Milestones are health checks of the start that other parts of the process reach once this one is ready.
	Milestones []*Milestone
	// Components are the parts of the control plane, beside etcd, that ComponentStatuses tell of.
	Components []healthz.HealthChecker
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Server is the Kubernetes API.
type Server struct {
	config    Config
	scheme    *runtime.Scheme
	types     *lazyConverter
	transport *transport
	informers *store.Factory
	authn     *authn.Authentication
	authz     *authz.Authorization
	reviews   review.Config
	groups    *groups.List
	custom    *customresources.Server
	// aggregator is nil if the server has no APIServices.
	aggregator *aggregation.Aggregator
	local      *aggregation.Local
	generic    *genericapiserver.GenericAPIServer
	milestones milestones
	ready      chan struct{}
}

// New builds the server on the store; it serves nothing until Run.
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Listener == nil || c.Store == nil || c.Identity == nil {
		return nil, errors.New("apiserver: Listener, Store and Identity must be set")
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	scheme, err := newScheme(c.Kinds)
	if err != nil {
		return nil, fmt.Errorf("apiserver: scheme: %w", err)
	}
	s := &Server{
		config: c, scheme: scheme, types: newLazyConverter(scheme), transport: newTransport(),
		informers: c.Store.Informers(), milestones: newMilestones(), ready: make(chan struct{}),
	}
	if err := s.build(); err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	return s, nil
}

// ClientConfig makes requests inside the process: they pass the whole chain of handlers (authorization,
// admission, audit) as user, without sockets or TLS. They wait until the server runs.
func (s *Server) ClientConfig(user string, groups ...string) *restclient.Config {
	return s.transport.config(user, groups)
}

// Client is a typed client over ClientConfig.
func (s *Server) Client(user string, groups ...string) (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(s.ClientConfig(user, groups...))
}

// Informers share the objects of the store; what they return is read-only.
func (s *Server) Informers() informers.SharedInformerFactory { return s.informers }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	s.informers.StartWithContext(ctx)
	defer s.informers.Shutdown()
	var others sync.WaitGroup
	defer others.Wait()
	besides, stop := context.WithCancel(ctx)
	defer stop()
	others.Go(func() { s.authn.Run(besides) })
	others.Go(func() { s.authz.Run(besides) })
	others.Go(func() { s.followKeys(besides) })
	others.Go(func() { s.followTrust(besides) })
	others.Go(func() { s.custom.Run(besides) })
	others.Go(func() {
		if s.Ready(besides) == nil {
			s.config.Encryption.Run(besides, s.config.Store)
		}
	})
	if s.aggregator != nil {
		others.Go(func() { s.aggregator.Run(besides) })
		others.Go(func() { s.registerOwn(besides) })
	}
	prepared := s.generic.PrepareRun()
	go s.start(ctx)
	err := prepared.RunWithContext(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// start lets this process's own requests in once storage can answer them, makes the objects that every cluster
// has, and says that the server is ready.
func (s *Server) start(ctx context.Context) {
	if err := s.config.Store.Filled(ctx); err != nil {
		return // asked to stop
	}
	s.milestones.storage.Reach()
	s.milestones.admission.Reach() // what it reads is there
	s.transport.serve(s.generic.Handler.FullHandlerChain)
	client, err := s.Client(apiserverUser, mastersGroup)
	if err != nil {
		s.config.Log.Error("api server cannot talk to itself", "err", err)
		return
	}
	if err := s.bootstrap(ctx, client); err != nil {
		if ctx.Err() == nil {
			s.config.Log.Error("first objects could not be made", "err", err)
		}
		return
	}
	close(s.ready)
}

// Ready blocks until requests are answered and the objects that every cluster has are there.
func (s *Server) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
