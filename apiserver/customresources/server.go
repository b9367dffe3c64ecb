// Package customresources serves CustomResourceDefinitions and the objects that they define. What holds for one such
// object (schemas, pruning, conversion) is the library's handler's; when it serves, how it starts and what discovery
// says of it is ours.
package customresources

import (
	"context"
	"fmt"
	"net/http"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	externalinformers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions"
	informers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions/apiextensions/v1"
	listers "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/controller/apiapproval"
	"k8s.io/apiextensions-apiserver/pkg/controller/establish"
	"k8s.io/apiextensions-apiserver/pkg/controller/finalizer"
	"k8s.io/apiextensions-apiserver/pkg/controller/nonstructuralschema"
	"k8s.io/apiextensions-apiserver/pkg/controller/status"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/webhook"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"dhow/apiserver/groups"
)

// Config of a Server.
type Config struct {
	// Loopback reaches the whole API server, whose part this is.
	Loopback *restclient.Config
	// Definitions and Objects say how each are stored.
	Definitions, Objects generic.RESTOptionsGetter
	Admission            admission.Interface
	Authorizer           authorizer.Authorizer
	// Services and Credentials are for conversion webhooks.
	Services    webhook.ServiceResolver
	Credentials webhook.AuthenticationInfoResolverWrapper
	// Discovery is told of custom resources, and Groups the names of their groups.
	Discovery discoveryendpoint.ResourceManager
	Groups    *groups.List
	// RequestTimeout and MinRequestTimeout bound requests and watches, MaxBodyBytes what a request may carry.
	RequestTimeout, MinRequestTimeout time.Duration
	MaxBodyBytes                      int64
	// NotFound answers what is no custom resource.
	NotFound http.Handler
}

// Server answers requests for custom resources.
type Server struct {
	config    Config
	informers externalinformers.SharedInformerFactory
	storages  *storages
	objects   http.Handler
	discovery *discovery
	publisher *publisher
	run       []func(context.Context)
}

// New makes a Server, which knows no definitions until Run.
func New(c Config) (*Server, error) {
	client, err := clientset.NewForConfig(c.Loopback)
	if err != nil {
		return nil, fmt.Errorf("client for custom resource definitions: %w", err)
	}
	s := &Server{
		config: c, storages: &storages{RESTOptionsGetter: c.Objects, closes: map[int]func(){}},
		informers: externalinformers.NewSharedInformerFactory(client, 0),
		discovery: &discovery{aggregated: c.Discovery, groups: c.Groups, known: map[string]map[string]http.Handler{}},
	}
	definitions := s.definitions()
	establishing := establish.NewEstablishingController(definitions, client.ApiextensionsV1())
	models, err := schemas(metav1.ObjectMeta{}.OpenAPIModelName())
	if err != nil {
		return nil, fmt.Errorf("describe metadata: %w", err)
	}
	const servers = 1
	// The library's own discovery stays away: it is asked nothing.
	handler, err := apiextensions.NewCustomResourceDefinitionHandler(nil, nil, settled{definitions}, c.NotFound, s.storages, c.Admission, establishing,
		c.Services, c.Credentials, servers, c.Authorizer, c.RequestTimeout, c.MinRequestTimeout, models, c.MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	s.objects = handler
	if s.publisher, err = newPublisher(definitions.Informer(), s.discovery.set); err != nil {
		return nil, err
	}
	naming := status.NewNamingConditionController(klog.Background(), definitions, client.ApiextensionsV1())
	structure := nonstructuralschema.NewConditionController(definitions, client.ApiextensionsV1())
	approval := apiapproval.NewKubernetesAPIApprovalPolicyConformantConditionController(definitions, client.ApiextensionsV1())
	finalizing := finalizer.NewCRDFinalizer(definitions, client.ApiextensionsV1(), handler)
	s.run = []func(context.Context){
		naming.RunWithContext, establishing.RunWithContext, s.publisher.run,
		func(ctx context.Context) { structure.RunWithContext(1, ctx) },
		func(ctx context.Context) { approval.RunWithContext(1, ctx) },
		func(ctx context.Context) { finalizing.RunWithContext(5, ctx) },
	}
	return s, nil
}

// Storage is how definitions themselves are served.
func Storage(options generic.RESTOptionsGetter) (map[string]rest.Storage, error) {
	const resource = "customresourcedefinitions"
	main, err := customresourcedefinition.NewREST(apiextensions.Scheme, options)
	if err != nil {
		return nil, err
	}
	main.StorageVersioner = apiextensionsv1.SchemeGroupVersion
	return map[string]rest.Storage{resource: main, resource + "/status": customresourcedefinition.NewStatusREST(apiextensions.Scheme, main)}, nil
}

func (s *Server) definitions() informers.CustomResourceDefinitionInformer {
	return s.informers.Apiextensions().V1().CustomResourceDefinitions()
}

// Informer holds the definitions.
func (s *Server) Informer() cache.SharedIndexInformer { return s.definitions().Informer() }

// Lister lists the definitions.
func (s *Server) Lister() listers.CustomResourceDefinitionLister { return s.definitions().Lister() }

// ServeHTTP answers what nobody before it did.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info, ok := request.RequestInfoFrom(r.Context())
	switch {
	case ok && info.IsResourceRequest:
		s.objects.ServeHTTP(w, r)
	case s.discovery.serve(w, r):
	default:
		s.config.NotFound.ServeHTTP(w, r)
	}
}
