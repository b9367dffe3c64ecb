package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"dhow/apiserver/aggregation"
)

// aggregates says whether the server passes requests on to others: it needs APIServices, and the Services they name.
func (s *Server) aggregates() bool {
	return s.servesIn(apiregistrationv1.GroupName, "apiservices") && s.serves("services") && s.servesIn(discoveryv1.GroupName, "endpointslices")
}

// handlerChain puts the others behind authentication and authorization, before what the server serves itself.
func (s *Server) handlerChain(own http.Handler, c *genericapiserver.Config) http.Handler {
	if s.aggregates() {
		own = s.passOn(own)
	}
	return genericapiserver.DefaultBuildHandlerChain(own, c)
}

// passOn waits with finding the aggregator: it is made after the chain.
func (s *Server) passOn(own http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.aggregator.Wrap(own).ServeHTTP(w, r) })
}

// aggregate makes the aggregator, which writes and shows what it knows by way of server.
func (s *Server) aggregate(server *genericapiserver.GenericAPIServer) error {
	client, err := apiregistrationclient.NewForConfig(s.ClientConfig(apiserverUser, mastersGroup))
	if err != nil {
		return err
	}
	cert, key, err := s.config.Identity.FrontProxyClient()
	if err != nil {
		return err
	}
	s.aggregator, err = aggregation.New(aggregation.Config{
		Informers: s.informers, Resolver: s.webhookServices(), Cert: cert, Key: key,
		Discovery: server.AggregatedDiscoveryGroupManager.WithSource(discoveryendpoint.AggregatorSource),
		Groups:    s.groups,
		UpdateStatus: func(ctx context.Context, a *apiregistrationv1.APIService) error {
			_, err := client.APIServices().UpdateStatus(ctx, a, metav1.UpdateOptions{})
			return err
		},
		Log: s.config.Log,
	})
	if err != nil {
		return err
	}
	known := s.informers.InformerFor(&apiregistrationv1.APIService{}, nil)
	if s.local, err = aggregation.NewLocal(client, s.groups, known, s.config.Log); err != nil {
		return err
	}
	return s.nameHooks(server, known.HasSyncedChecker().Done())
}

// nameHooks has health name what watches over APIServices as upstream's does; Run starts it.
func (s *Server) nameHooks(server *genericapiserver.GenericAPIServer, filled <-chan struct{}) error {
	errs := []error{
		server.AddBootSequenceHealthChecks(healthz.NamedCheck("autoregister-completion", func(*http.Request) error {
			if missing := s.local.Unregistered(); len(missing) > 0 {
				return fmt.Errorf("missing APIService: %v", missing)
			}
			return nil
		})),
	}
	for _, name := range []string{
		"start-kube-aggregator-informers", "apiservice-registration-controller", "kube-apiserver-autoregistration",
		"apiservice-status-local-available-controller", "apiservice-status-remote-available-controller", "apiservice-openapi-controller",
	} {
		errs = append(errs, server.AddPostStartHook(name, func(c genericapiserver.PostStartHookContext) error {
			select {
			case <-filled:
			case <-c.Done():
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// registerOwn keeps APIServices of what this server serves, once it knows what custom resources there are.
func (s *Server) registerOwn(ctx context.Context) {
	s.custom.AwaitDiscovery(ctx)
	s.local.Run(ctx)
}

// remoteDocuments are where others describe what they serve.
func (s *Server) remoteDocuments() map[string]string {
	if s.aggregator == nil {
		return nil
	}
	return s.aggregator.OpenAPI()
}
