// Package operator is an operator as its authors write them with controller-runtime: a kind of its own in two
// versions, webhooks that default, validate and convert, finalizers, owned objects, leader election and reads from
// caches.
package operator

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	v1 "dhow/test/clients/operator/v1"
	"dhow/test/clients/operator/v1beta1"
)

// Config says where and as whom one operator of several runs.
type Config struct {
	Rest      *rest.Config
	Namespace string // of the objects and of the lease
	// Webhooks is where this operator serves webhooks, or nil if another does.
	Webhooks *webhook.Options
}

// Scheme knows what the operator works with.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// New makes the operator's manager, whose Start blocks.
func New(c Config) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	several := true
	options := ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       server.Options{BindAddress: "0"},
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{c.Namespace: {}}},
		Controller:                    config.Controller{SkipNameValidation: &several},
		LeaderElection:                true,
		LeaderElectionID:              "greeter",
		LeaderElectionNamespace:       c.Namespace,
		LeaderElectionReleaseOnCancel: true,
		RetryPeriod:                   new(200 * time.Millisecond),
	}
	if c.Webhooks != nil {
		options.WebhookServer = webhook.NewServer(*c.Webhooks)
	}
	m, err := ctrl.NewManager(c.Rest, options)
	if err != nil {
		return nil, err
	}
	if c.Webhooks != nil {
		if err := ctrl.NewWebhookManagedBy(m, &v1.Greeting{}).WithDefaulter(defaulter{}).WithValidator(validator{}).Complete(); err != nil {
			return nil, err
		}
	}
	return m, ctrl.NewControllerManagedBy(m).For(&v1.Greeting{}).Owns(&corev1.ConfigMap{}).
		Complete(&greeter{client: m.GetClient(), scheme: scheme})
}

// owner is the reference that makes the garbage collector delete what it stands in with the greeting.
func owner(g *v1.Greeting) metav1.OwnerReference {
	return *metav1.NewControllerRef(g, v1.GroupVersion.WithKind("Greeting"))
}
