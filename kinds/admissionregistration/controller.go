package admissionregistration

import (
	"context"
	"fmt"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	applyadmissionv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/admissionregistration/v1"
	"k8s.io/client-go/restmapper"

	"dhow/controller"
)

const statusController = "validatingadmissionpolicy-status-controller"

// Controller checks the types in validating policies' expressions, and says in their status what it has found.
func Controller() controller.Controller {
	return controller.Controller{
		Name:    statusController,
		Workers: 1,
		Reads:   []controller.Read{{Object: &admissionv1.ValidatingAdmissionPolicy{}}},
		Writes: []controller.Write{
			{Group: admissionv1.GroupName, Resources: []string{"validatingadmissionpolicies/status"}, Verbs: []string{"patch"}},
			{Group: admissionv1.GroupName, Resources: []string{"validatingadmissionpolicies"}, Verbs: []string{"patch"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			return &typeChecking{
				client: env.Client, policies: env.Informers.Admissionregistration().V1().ValidatingAdmissionPolicies().Lister(),
			}
		},
	}
}

type typeChecking struct {
	client   kubernetes.Interface
	policies listers.ValidatingAdmissionPolicyLister

	first   sync.Once
	checker *validating.TypeChecker
	mapper  meta.ResettableRESTMapper
}

// get makes the checker when the first policy asks for it: it learns types from the server's own documents.
func (t *typeChecking) get() *validating.TypeChecker {
	t.first.Do(func() {
		t.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(t.client.Discovery()))
		t.checker = &validating.TypeChecker{
			SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: t.client.Discovery()}, RestMapper: t.mapper,
		}
	})
	t.mapper.Reset() // kinds come and go
	return t.checker
}

// Reconcile implements controller.Reconciler.
func (t *typeChecking) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	p, err := t.policies.Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil || p.Generation <= p.Status.ObservedGeneration {
		return controller.Result{}, err
	}
	checking := applyadmissionv1.TypeChecking()
	for _, w := range t.get().Check(p) {
		checking.WithExpressionWarnings(applyadmissionv1.ExpressionWarning().WithFieldRef(w.FieldRef).WithWarning(w.Warning))
	}
	status := applyadmissionv1.ValidatingAdmissionPolicyStatus().WithObservedGeneration(p.Generation).WithTypeChecking(checking)
	_, err = t.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().ApplyStatus(ctx,
		applyadmissionv1.ValidatingAdmissionPolicy(p.Name).WithStatus(status), metav1.ApplyOptions{FieldManager: statusController, Force: true})
	if err != nil && !apierrors.IsNotFound(err) {
		return controller.Result{}, fmt.Errorf("status of policy %s: %w", p.Name, err)
	}
	return controller.Result{}, nil
}
