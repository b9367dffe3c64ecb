package apiserver

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	restful "github.com/emicklei/go-restful/v3"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/apiserver/pkg/server/healthz"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/util/compatibility"
	basecompatibility "k8s.io/component-base/compatibility"

	"dhow/apiserver/componentstatus"
	"dhow/apiserver/connections"
	"dhow/apiserver/encryption"
	"dhow/apiserver/groups"
	"dhow/apiserver/openapi"
	"dhow/apiserver/review"
	"dhow/store"
)

// The server's own user, for its requests to itself.
const (
	apiserverUser = "system:apiserver"
	mastersGroup  = "system:masters"
)

// build makes the library's server: kinds of the cluster's own in front, custom resources behind them.
func (s *Server) build() error {
	base, err := s.genericConfig()
	if err != nil {
		return err
	}
	config := ownConfig(base)
	s.groups = &groups.List{Addresses: discovery.DefaultAddresses{DefaultAddress: config.ExternalAddress}, Serializer: config.Serializer}
	if s.custom, err = s.customResources(config); err != nil {
		return err
	}
	config.RESTOptionsGetter = store.Options{
		Store: s.config.Store, Codec: s.storageCodec(config.Serializer), Tracker: config.StorageObjectCountTracker, Share: true,
		Transformers: s.config.Encryption.Transformers(),
	}
	config.SkipOpenAPIInstallation = true
	config.EnableDiscovery = false // ours knows the order of groups
	config.BuildHandlerChainFunc = s.handlerChain
	config.AddHealthChecks(healthz.NamedCheck("etcd", s.storeWorks))
	// A plug-in that fails is no reason to restart this server: /livez does not ask it.
	config.HealthzChecks = append(config.HealthzChecks, s.config.Encryption.HealthChecks()...)
	config.AddReadyzChecks(s.config.Encryption.HealthChecks()...)
	server, err := config.Complete(s.informers).New("dhow", genericapiserver.NewEmptyDelegateWithCustomHandler(s.custom))
	if err != nil {
		return err
	}
	if err := server.AddBootSequenceHealthChecks(s.bootChecks()...); err != nil {
		return err
	}
	if err := s.custom.Hooks(server); err != nil {
		return err
	}
	server.RegisterDestroyFunc(s.custom.Close)
	i := &installer{
		server: server, config: config, scheme: s.scheme, options: config.RESTOptionsGetter,
		apply: s.types, groups: s.groups, answers: s.answers(),
	}
	if err := i.install(s.config.Kinds); err != nil {
		return err
	}
	if s.aggregates() {
		if err := s.aggregate(server); err != nil {
			return err
		}
	}
	openapi.New(openapi.Config{
		BuiltIn: []*restful.Container{server.Handler.GoRestfulContainer},
		Remote:  s.remoteDocuments,
		Custom: func() ([]*apiextensionsv1.CustomResourceDefinition, error) {
			return s.custom.Lister().List(labels.Everything())
		},
		Version: base.EffectiveVersion.Info().GitVersion, Log: s.config.Log,
	}).Install(server.Handler.NonGoRestfulMux)
	s.serveKeys(server.Handler.NonGoRestfulMux)
	if s.config.Encryption != nil {
		server.Handler.NonGoRestfulMux.Handle(encryption.Path, s.config.Encryption.Handler())
		server.Handler.NonGoRestfulMux.HandlePrefix(encryption.Path+"/", s.config.Encryption.Handler())
	}
	s.generic = server
	return nil
}

// answers are resources that are not stored but answered.
func (s *Server) answers() map[schema.GroupVersion]map[string]rest.Storage {
	all := review.Storages(s.reviews)
	parts := append([]healthz.HealthChecker{healthz.NamedCheck("etcd-0", s.storeWorks)}, s.config.Components...)
	all[corev1.SchemeGroupVersion] = map[string]rest.Storage{componentstatus.Resource: componentstatus.New(parts...)}
	return all
}

func (s *Server) storeWorks(r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	return s.config.Store.Healthy(ctx)
}

// ownConfig copies what the servers of one chain share; hooks are each server's own.
func ownConfig(base *genericapiserver.Config) *genericapiserver.Config {
	c := *base
	c.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	return &c
}

func (s *Server) genericConfig() (*genericapiserver.Config, error) {
	codecs := serializer.NewCodecFactory(s.scheme)
	c := genericapiserver.NewConfig(codecs)
	registry := compatibility.DefaultComponentGlobalsRegistry
	c.EffectiveVersion = ownVersion{registry.EffectiveVersionFor(basecompatibility.DefaultKubeComponent)}
	c.LoopbackClientConfig = s.ClientConfig(apiserverUser, mastersGroup)
	c.MergedResourceConfig = serverstorage.NewResourceConfig()
	c.AggregatedDiscoveryGroupManager = discoveryendpoint.NewResourceManager("apis")
	c.PublicAddress = s.config.Advertise.Addr().AsSlice()
	c.ExternalAddress = s.config.Advertise.String()
	c.LongRunningFunc = genericfilters.BasicLongRunningRequestCheck(
		sets.NewString("watch", "proxy"), sets.NewString("attach", "exec", "proxy", "log", "portforward"))
	moreMetrics()
	c.Flagz = s.config.Flags
	s.config.Limits.apply(c)
	if err := s.config.Audit.Apply(c, s.config.Log); err != nil {
		return nil, err
	}
	if err := s.authorization(c); err != nil {
		return nil, err
	}
	if err := s.authentication(c); err != nil {
		return nil, err
	}
	if err := s.secureServing(c); err != nil {
		return nil, err
	}
	if err := s.fairness(c); err != nil {
		return nil, err
	}
	return c, s.admission(c)
}

// secureServing offers TLS 1.2 and newer on the listener, and asks clients for a certificate.
func (s *Server) secureServing(c *genericapiserver.Config) error {
	cert, key, err := s.config.Identity.Serving("apiserver", "dhow-apiserver", s.config.ServingNames)
	if err != nil {
		return err
	}
	serving, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving-cert", cert, key)
	if err != nil {
		return err
	}
	c.SecureServing = &genericapiserver.SecureServingInfo{
		Listener: connections.Limit(s.config.Listener, connections.Most(), s.config.Log), Cert: serving, ClientCA: s.authn.ClientCA(), MinTLSVersion: tls.VersionTLS12,
		HTTP2MaxStreamsPerConnection: s.config.Limits.MaxStreams,
	}
	return nil
}

// storageCodec keeps objects as protobuf of their group's preferred version.
func (s *Server) storageCodec(codecs runtime.NegotiatedSerializer) func(schema.GroupResource) runtime.Codec {
	kinds := map[schema.GroupResource]schema.GroupVersion{}
	for _, k := range s.config.Kinds {
		kinds[k.groupResource(k.Resource)] = k.GroupVersion
	}
	return func(gr schema.GroupResource) runtime.Codec {
		codec, _, err := serverstorage.NewStorageCodec(serverstorage.StorageCodecConfig{
			StorageMediaType: runtime.ContentTypeProtobuf, StorageSerializer: codecs.(runtime.StorageSerializer),
			StorageVersion: kinds[gr], MemoryVersion: schema.GroupVersion{Group: gr.Group, Version: runtime.APIVersionInternal},
		})
		if err != nil {
			panic(err) // protobuf is always there
		}
		return codec
	}
}

type mux interface {
	Handle(path string, handler http.Handler)
}
