// Package rbactest runs controllers in tests as a server does: each as its own user, which may do what it declares, and
// no more.
package rbactest

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/controller/controllertest"
	"dhow/kinds/rbac"
)

// Start is a cluster of some kinds whose users may do what their roles say.
func Start(t *testing.T, kinds ...apiserver.Kind) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, append(rbac.Kinds(nil), kinds...), func(config *apiserver.Config) {
		config.Authorizer = func(f informers.SharedInformerFactory) (authorizer.Authorizer, error) { return rbac.NewAuthorizer(f) }
	})
}

// Declare makes the roles of controllers, and waits until they hold.
func Declare(t *testing.T, c *apiservertest.Cluster, all ...controller.Controller) {
	t.Helper()
	roles, err := controller.Roles(all)
	if err == nil {
		err = rbac.Reconcile(t.Context(), c.Client, roles)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range all {
		apiservertest.Eventually(t, func() bool {
			asked := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: controller.User(declared.Name),
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "events"}}} // which each of them may
			got, err := c.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), asked, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return got.Status.Allowed
		})
	}
}

// Run declares controllers and runs them until the test ends.
func Run(t *testing.T, c *apiservertest.Cluster, all ...controller.Controller) {
	t.Helper()
	Declare(t, c, all...)
	controllertest.Run(t, controllertest.On{
		As: func(user string) (kubernetes.Interface, error) { return c.Server.Client(user) }, Informers: c.Informers,
	}, all...)
}
