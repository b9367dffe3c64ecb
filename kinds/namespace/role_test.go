package namespace_test

import (
	"context"
	"testing"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/rbac"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestItsRoleLetsTheControllerEmptyNamespaces(t *testing.T) {
	all := append(rbac.Kinds(nil), namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), configmap.Kind())
	c := apiservertest.Start(t, all, func(config *apiserver.Config) {
		config.Authorizer = func(f informers.SharedInformerFactory) (authorizer.Authorizer, error) { return rbac.NewAuthorizer(f) }
	})
	content, err := metadata.NewForConfig(c.Server.ClientConfig(controller.User(namespace.ControllerName)))
	check(t, err)
	declared := []controller.Controller{namespace.Controller(content)}
	roles, err := controller.Roles(declared)
	check(t, err)
	check(t, rbac.Reconcile(t.Context(), c.Client, roles))
	manager, err := controller.New(controller.Config{
		Client:    func(user string) (kubernetes.Interface, error) { return c.Server.Client(user) },
		Informers: c.Informers, Controllers: declared,
	})
	check(t, err)
	c.Informers.Start(c.Context.Done())
	ctx, stop := context.WithCancel(c.Context)
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		check(t, <-ended)
	})
	create(t, c, "n")
	erase(t, c, "n")
	awaitGone(t, c, "n")
}
