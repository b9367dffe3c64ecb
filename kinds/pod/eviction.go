package pod

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"
	"k8s.io/client-go/util/retry"

	"dhow/api/subresource"
)

// Eviction is pods/eviction: it deletes a pod unless that would break its PodDisruptionBudget.
type Eviction struct {
	store   *genericregistry.Store // writes the pod's status
	budgets func() policyclient.PodDisruptionBudgetsGetter
}

func newEviction(store *genericregistry.Store, budgets func() policyclient.PodDisruptionBudgetsGetter) *Eviction {
	return &Eviction{
		store: subresource.Store(store, subresource.Rules[*corev1.Pod]{
			Prepare:  prepareForStatus,
			Validate: validateStatusUpdate,
		}),
		budgets: budgets,
	}
}

var evictionKind = policyv1.SchemeGroupVersion.WithKind("Eviction")

// New returns an empty eviction.
func (*Eviction) New() runtime.Object { return &policyv1.Eviction{} }

// Destroy does nothing: the store belongs to the pods.
func (*Eviction) Destroy() {}

// GroupVersionKind says that what is created is of the policy group.
func (*Eviction) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind { return evictionKind }

// AcceptsGroupVersion is true of policy/v1.
func (*Eviction) AcceptsGroupVersion(gv schema.GroupVersion) bool {
	return gv == policyv1.SchemeGroupVersion
}

// Create evicts the pod that is named like the eviction.
func (e *Eviction) Create(ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc,
	options *metav1.CreateOptions) (runtime.Object, error) {
	eviction, ok := obj.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", obj))
	}
	if name != eviction.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	deletion, err := deleteOptions(eviction, options)
	if err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, eviction.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	// A pod that changes while it is evicted is looked at again, unless the client named the version it means.
	again := func(err error) bool { return apierrors.IsConflict(err) && !pinned(deletion) }
	if err := retry.OnError(retry.DefaultBackoff, again, func() error { return e.evict(ctx, name, deletion) }); err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}

// deleteOptions are the client's, with the dry run of the request.
func deleteOptions(eviction *policyv1.Eviction, options *metav1.CreateOptions) (*metav1.DeleteOptions, error) {
	deletion := &metav1.DeleteOptions{}
	if eviction.DeleteOptions != nil {
		deletion = eviction.DeleteOptions.DeepCopy()
	}
	if unsafe := deletion.IgnoreStoreReadErrorWithClusterBreakingPotential; unsafe != nil && *unsafe {
		return nil, apierrors.NewInvalid(evictionKind.GroupKind(), eviction.Name, field.ErrorList{field.Invalid(
			field.NewPath("deleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential"), true,
			"can not be set for pod eviction, try after removing the option")})
	}
	switch {
	case len(deletion.DryRun) == 0:
		deletion.DryRun = options.DryRun
	case len(options.DryRun) > 0 && !reflect.DeepEqual(options.DryRun, deletion.DryRun):
		return nil, fmt.Errorf("Non-matching dry-run options in request and content: %v and %v", options.DryRun, deletion.DryRun)
	}
	return deletion, nil
}

// pinned says whether the client named the version of the pod that it wants to go.
func pinned(o *metav1.DeleteOptions) bool {
	return o.Preconditions != nil && o.Preconditions.ResourceVersion != nil
}

func (e *Eviction) evict(ctx context.Context, name string, deletion *metav1.DeleteOptions) error {
	obj, err := e.store.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return err
	}
	pod := obj.(*corev1.Pod)
	if ended := hasEnded(pod); ended || pod.Status.Phase == corev1.PodPending {
		// No budget counts this pod; but it must still be the same when it goes.
		return e.remove(ctx, pod, deletion, !ended)
	}
	unchanged, err := e.askBudget(ctx, pod, dryrun.IsDryRun(deletion.DryRun))
	if err != nil {
		return err
	}
	return e.remove(ctx, pod, deletion, unchanged)
}

func hasEnded(pod *corev1.Pod) bool {
	return phaseEnded(pod) || pod.DeletionTimestamp != nil
}

// remove notes on the pod why it goes, then deletes it. With unchanged set, only in the version that was seen.
func (e *Eviction) remove(ctx context.Context, pod *corev1.Pod, deletion *metav1.DeleteOptions, unchanged bool) error {
	deletion = deletion.DeepCopy()
	if unchanged && !pinned(deletion) {
		if deletion.Preconditions == nil {
			deletion.Preconditions = &metav1.Preconditions{}
		}
		deletion.Preconditions.ResourceVersion = &pod.ResourceVersion
	}
	if !dryrun.IsDryRun(deletion.DryRun) {
		version, err := e.note(ctx, pod.Name, deletion.Preconditions)
		if err != nil {
			return err
		}
		if pinned(deletion) {
			deletion.Preconditions.ResourceVersion = &version
		}
	}
	_, _, err := e.store.Delete(ctx, pod.Name, rest.ValidateAllObjectFunc, deletion)
	return err
}

// note sets the condition DisruptionTarget and returns the version that the pod has then.
func (e *Eviction) note(ctx context.Context, name string, want *metav1.Preconditions) (string, error) {
	change := func(_ context.Context, _, stored runtime.Object) (runtime.Object, error) {
		pod := stored.(*corev1.Pod).DeepCopy()
		if err := meets(pod, want); err != nil {
			return nil, err
		}
		setCondition(&pod.Status, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
		})
		return pod, nil
	}
	updated, _, err := e.store.Update(ctx, name, rest.DefaultUpdatedObjectInfo(nil, change),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		return "", err
	}
	return updated.(*corev1.Pod).ResourceVersion, nil
}

func meets(pod *corev1.Pod, want *metav1.Preconditions) error {
	resource := schema.GroupResource{Resource: "Pod"}
	if want == nil {
		return nil
	}
	if want.UID != nil && *want.UID != "" && *want.UID != pod.UID {
		return apierrors.NewConflict(resource, pod.Name, fmt.Errorf("the UID in the precondition (%s) does not match "+
			"the UID in record (%s). The object might have been deleted and then recreated", *want.UID, pod.UID))
	}
	if v := want.ResourceVersion; v != nil && *v != "" && *v != pod.ResourceVersion {
		return apierrors.NewConflict(resource, pod.Name, fmt.Errorf("the ResourceVersion in the precondition (%s) does not match "+
			"the ResourceVersion in record (%s). The object might have been modified", *v, pod.ResourceVersion))
	}
	return nil
}
