package apiserver

import (
	"slices"

	nooptrace "go.opentelemetry.io/otel/trace/noop"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver/dynamicadmission"
)

// admission puts the plug-ins together: the server's own, what users add by webhooks and policies, and the last ones.
func (s *Server) admission(c *genericapiserver.Config) error {
	client, err := s.Client(apiserverUser, mastersGroup)
	if err != nil {
		return err
	}
	var all []admission.Interface
	add := func(make func(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error)) error {
		if make == nil {
			return nil
		}
		plugins, err := make(client, s.informers)
		all = append(all, plugins...)
		return err
	}
	if err := add(s.config.Admission); err != nil {
		return err
	}
	added, err := s.dynamicAdmission(c, client)
	if err != nil {
		return err
	}
	all = append(all, added...)
	if err := add(s.config.LastAdmission); err != nil {
		return err
	}
	for _, plugin := range all {
		if w, ok := plugin.(initializer.WantsAuthorizer); ok {
			w.SetAuthorizer(c.Authorization.Authorizer)
		}
	}
	c.AdmissionControl = dynamicadmission.Chain(all)
	return nil
}

func (s *Server) dynamicAdmission(c *genericapiserver.Config, client kubernetes.Interface) ([]admission.Interface, error) {
	if !s.serves("namespaces") {
		return nil, nil
	}
	objects, err := dynamic.NewForConfig(s.ClientConfig(apiserverUser, mastersGroup))
	if err != nil {
		return nil, err
	}
	return dynamicadmission.Plugins(dynamicadmission.Config{
		Client: client, Dynamic: objects, Informers: s.informers, Authorizer: c.Authorization.Authorizer, Version: c.EffectiveVersion,
		Types: s.types, Services: s.webhookServices(), Credentials: s.webhookCredentials(),
		Serves: func(resource string) bool {
			return s.servesIn(admissionv1.GroupName, resource) && !slices.Contains(s.config.NoAdmission, dynamicadmission.Name(resource))
		},
		Stop: c.DrainedNotify(),
	})
}

// webhookServices finds webhooks by the names of their Services, where the server has those.
func (s *Server) webhookServices() webhook.ServiceResolver {
	if !s.serves("services") || !s.servesIn(discoveryv1.GroupName, "endpointslices") {
		return webhook.NewDefaultServiceResolver()
	}
	return dynamicadmission.NewServices(s.informers)
}

// webhookCredentials are shown to nobody but this server itself.
func (s *Server) webhookCredentials() webhook.AuthenticationInfoResolverWrapper {
	return webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, s.ClientConfig(apiserverUser, mastersGroup), nooptrace.NewTracerProvider())
}
