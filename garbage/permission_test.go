package garbage_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"

	"dhow/api/admit/admittest"
	"dhow/garbage"
)

func TestOwnersAreGivenByThoseWhoMayDeleteAndFinalize(t *testing.T) {
	client := fake.NewClientset()
	client.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "pods", Kind: "Pod", Namespaced: true}}}}
	p := garbage.OwnerPermission(client)
	var rights map[string]bool
	p.(initializer.WantsAuthorizer).SetAuthorizer(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if rights[a.GetVerb()+" "+a.GetResource()+"/"+a.GetSubresource()+" "+a.GetName()] {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "no", nil
	}))
	owned := func(block bool) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "1", BlockOwnerDeletion: &block}}}}
	}
	bare := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "ns"}}
	for name, c := range map[string]struct {
		rights   []string
		now, old *corev1.ConfigMap
		want     string
	}{
		"create":            {nil, owned(false), nil, ""},
		"create, block":     {nil, owned(true), nil, "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: no, <nil>"},
		"create, may block": {[]string{"update pods/finalizers p"}, owned(true), nil, ""},
		"create, any":       {[]string{"update */finalizers *"}, owned(true), nil, ""},
		"give":              {nil, owned(false), bare, "cannot set an ownerRef on a resource you can't delete: no, <nil>"},
		"give, may delete":  {[]string{"delete configmaps/ c"}, owned(false), bare, ""},
		"take away":         {nil, bare, owned(false), "cannot set an ownerRef on a resource you can't delete: no, <nil>"},
		"same":              {nil, owned(true), owned(true), ""},
	} {
		t.Run(name, func(t *testing.T) {
			rights = map[string]bool{}
			for _, r := range c.rights {
				rights[r] = true
			}
			request := admittest.Request{Object: c.now, Resource: "configmaps", User: &user.DefaultInfo{Name: "jane"}}
			if c.old != nil {
				request.Operation, request.Old = admission.Update, c.old
			}
			admittest.Check(t, admittest.Run(t, p, request), c.want)
		})
	}
}
