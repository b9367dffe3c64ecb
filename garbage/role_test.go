package garbage

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/controller"
	"dhow/kinds/rbac/rbactest"
)

func TestItsRoleLetsItDoItsWork(t *testing.T) {
	c := rbactest.Start(t, kindsServed()...)
	rbactest.Declare(t, c, Access())
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
