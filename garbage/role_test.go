package garbage

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/kinds/rbac"
)

func TestItsRoleLetsItDoItsWork(t *testing.T) {
	c := apiservertest.Start(t, append(kindsServed(), rbac.Kinds(nil)...), func(config *apiserver.Config) {
		config.Authorizer = func(f informers.SharedInformerFactory) (authorizer.Authorizer, error) { return rbac.NewAuthorizer(f) }
	})
	roles, err := controller.Roles([]controller.Controller{Access()})
	check(t, err)
	check(t, rbac.Reconcile(t.Context(), c.Client, roles))
	run(t, c, controller.User(Access().Name))

	root := configMap(t, c, "default", "root")
	configMap(t, c, "default", "child", blocking(owner(root)))
	erase(t, c, "root", metav1.DeletePropagationForeground)
	awaitGone(t, c, "default", "root")
	awaitGone(t, c, "default", "child")

	root = configMap(t, c, "default", "root")
	configMap(t, c, "default", "child", owner(root))
	erase(t, c, "root", metav1.DeletePropagationOrphan)
	awaitGone(t, c, "default", "root")
	if child := look(t, c, "default", "child"); child == nil || len(child.OwnerReferences) > 0 {
		t.Errorf("the orphan: %+v", child)
	}
}
