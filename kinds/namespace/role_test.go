package namespace_test

import (
	"testing"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/controller/controllertest"
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
	own := func(user string) (kubernetes.Interface, error) { return c.Server.Client(user) }
	controllertest.Run(t, controllertest.On{As: own, Informers: c.Informers}, declared...)
	create(t, c, "n")
	erase(t, c, "n")
	awaitGone(t, c, "n")
}
