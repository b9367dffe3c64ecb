package namespace_test

import (
	"testing"

	"k8s.io/client-go/metadata"

	"dhow/controller"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/rbac/rbactest"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestItsRoleLetsTheControllerEmptyNamespaces(t *testing.T) {
	c := rbactest.Start(t, namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), serviceaccount.Kind(serviceaccount.Config{}),
		pod.Kind(pod.Config{}), configmap.Kind())
	content, err := metadata.NewForConfig(c.Server.ClientConfig(controller.User(namespace.ControllerName)))
	check(t, err)
	rbactest.Run(t, c, namespace.Controller(content))
	create(t, c, "n")
	erase(t, c, "n")
	awaitGone(t, c, "n")
}
