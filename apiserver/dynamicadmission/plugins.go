// Package dynamicadmission runs the admission that users add to a cluster: webhooks and policies, by the library's
// plug-ins. It makes each plug-in when the first object that asks for it is there; until then it costs an informer.
package dynamicadmission

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	webhookinit "k8s.io/apiserver/pkg/admission/plugin/webhook/initializer"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/compatibility"

	"dhow/api/admit"
)

// Config is what the plug-ins work with.
type Config struct {
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface
	Informers informers.SharedInformerFactory
	// Authorizer answers the questions of policies' CEL expressions.
	Authorizer authorizer.Authorizer
	// Version is that of the API that the server emulates.
	Version compatibility.EffectiveVersion
	// Types merge what mutating policies apply.
	Types managedfields.TypeConverter
	// Services finds webhooks that are named by Service; see NewServices. Credentials are what webhooks are shown.
	Services    webhook.ServiceResolver
	Credentials webhook.AuthenticationInfoResolverWrapper
	// Serves says which resources of admissionregistration.k8s.io the server has.
	Serves func(resource string) bool
	// Stop is closed when the last request has been answered.
	Stop <-chan struct{}
}

// Plugins are, in this order, those that mutating policies, mutating webhooks, validating policies and validating
// webhooks stand for. They belong behind all others but quota.
func Plugins(c Config) ([]admission.Interface, error) {
	c.Informers.Core().V1().Namespaces().Informer()
	b := &builder{Config: c, mapper: sync.OnceValue(func() meta.RESTMapper { return newMapper(c) })}
	registered := c.Informers.Admissionregistration().V1()
	var all []admission.Interface
	for _, p := range []struct {
		// resources are what it reads; the first is what asks for it.
		resources []string
		informers func() []cache.SharedIndexInformer
		make      func() (admission.Interface, error)
	}{
		{
			[]string{"mutatingadmissionpolicybindings", "mutatingadmissionpolicies"}, func() []cache.SharedIndexInformer {
				return []cache.SharedIndexInformer{registered.MutatingAdmissionPolicyBindings().Informer(), registered.MutatingAdmissionPolicies().Informer()}
			}, b.mutatingPolicies,
		},
		{
			[]string{"mutatingwebhookconfigurations"}, func() []cache.SharedIndexInformer {
				return []cache.SharedIndexInformer{registered.MutatingWebhookConfigurations().Informer()}
			}, func() (admission.Interface, error) { return mutatingwebhook.NewMutatingWebhook(nil) },
		},
		{
			[]string{"validatingadmissionpolicybindings", "validatingadmissionpolicies"}, func() []cache.SharedIndexInformer {
				return []cache.SharedIndexInformer{registered.ValidatingAdmissionPolicyBindings().Informer(), registered.ValidatingAdmissionPolicies().Informer()}
			}, func() (admission.Interface, error) { return validatingpolicy.NewPlugin(nil) },
		},
		{
			[]string{"validatingwebhookconfigurations"}, func() []cache.SharedIndexInformer {
				return []cache.SharedIndexInformer{registered.ValidatingWebhookConfigurations().Informer()}
			}, func() (admission.Interface, error) { return validatingwebhook.NewValidatingAdmissionWebhook(nil) },
		},
	} {
		if !c.Serves(p.resources[0]) { // its informer would never fill
			continue
		}
		plugin, err := newLazy(p.informers()[0], func() (admission.Interface, error) {
			made, err := p.make()
			if err != nil {
				return nil, err
			}
			return made, b.initialize(made)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, plugin)
	}
	return all, nil
}

// Name is the name of the plug-in that a resource of admissionregistration.k8s.io asks for.
func Name(resource string) string {
	switch resource {
	case "mutatingadmissionpolicybindings":
		return "MutatingAdmissionPolicy"
	case "mutatingwebhookconfigurations":
		return mutatingwebhook.PluginName
	case "validatingadmissionpolicybindings":
		return validatingpolicy.PluginName
	case "validatingwebhookconfigurations":
		return validatingwebhook.PluginName
	}
	return ""
}

// builder gives plug-ins what they want.
type builder struct {
	Config
	mapper func() meta.RESTMapper
}

// reviews are answered, not stored; a webhook that refused them could not be got rid of.
var reviews = []schema.GroupResource{
	{Group: "authentication.k8s.io", Resource: "selfsubjectreviews"},
	{Group: "authentication.k8s.io", Resource: "tokenreviews"},
	{Group: "authorization.k8s.io", Resource: "localsubjectaccessreviews"},
	{Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"},
	{Group: "authorization.k8s.io", Resource: "selfsubjectrulesreviews"},
	{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"},
}

func (b *builder) initialize(p admission.Interface) error {
	initializer.New(b.Client, b.Dynamic, lasting{b.Informers, b.Stop}, b.Authorizer, utilfeature.DefaultFeatureGate, b.Version, b.Stop, b.mapper()).Initialize(p)
	webhookinit.NewPluginInitializer(b.Credentials, b.Services).Initialize(p)
	if wants, ok := p.(initializer.WantsExcludedAdmissionResources); ok {
		wants.SetExcludedAdmissionResources(reviews)
	}
	return admission.ValidateInitialization(p)
}

// lazy is a plug-in that is made when the first object that asks for it has been seen.
type lazy struct {
	wanted atomic.Bool
	synced func() bool
	plugin func() (admission.Interface, error)
}

var (
	_ admission.MutationInterface   = &lazy{}
	_ admission.ValidationInterface = &lazy{}
)

func newLazy(informer cache.SharedIndexInformer, plugin func() (admission.Interface, error)) (*lazy, error) {
	l := &lazy{plugin: sync.OnceValues(plugin)}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { l.wanted.Store(true) }})
	if err != nil {
		return nil, err
	}
	l.synced = registration.HasSynced
	return l, nil
}

// Handles says yes: what the plug-in handles is asked when there is one.
func (l *lazy) Handles(admission.Operation) bool { return true }

// get returns nil when nothing asks for the plug-in or it does not handle the request.
func (l *lazy) get(ctx context.Context, a admission.Attributes) (admission.Interface, error) {
	if !admit.Ready(ctx, l.synced) {
		return nil, admission.NewForbidden(a, errors.New("not yet ready to handle request"))
	}
	if !l.wanted.Load() {
		return nil, nil
	}
	p, err := l.plugin()
	if err != nil || !p.Handles(a.GetOperation()) {
		return nil, err
	}
	return p, nil
}

// Admit implements admission.MutationInterface.
func (l *lazy) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	p, err := l.get(ctx, a)
	if m, ok := p.(admission.MutationInterface); ok {
		return m.Admit(ctx, a, o)
	}
	return err
}

// Validate implements admission.ValidationInterface.
func (l *lazy) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	p, err := l.get(ctx, a)
	if v, ok := p.(admission.ValidationInterface); ok {
		return v.Validate(ctx, a, o)
	}
	return err
}
