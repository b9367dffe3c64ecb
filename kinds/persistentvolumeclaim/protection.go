package persistentvolumeclaim

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"dhow/api/protection"
	"dhow/controller"
)

// Protection keeps deleted claims until no pod uses them, and says in each claim's status since when none has.
func Protection() controller.Controller {
	return controller.Controller{
		Name: "pvc-protection-controller",
		Reads: []controller.Read{
			{Object: &corev1.PersistentVolumeClaim{}, Keys: due},
			{Object: &corev1.Pod{}, Keys: claimsOfChange},
		},
		Writes: []controller.Write{
			{Resources: []string{"persistentvolumeclaims", "persistentvolumeclaims/status"}, Verbs: []string{"update"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			pods := env.Informers.Core().V1().Pods().Informer()
			return &protector{env: env, holders: holders{client: env.Client}, pods: pods.GetIndexer(), broken: indexByClaim(pods)}
		},
	}
}

// due are the claims at which a look is worth it.
func due(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	c := obj.(*corev1.PersistentVolumeClaim)
	if !protection.Due(c, protection.Claim) && unusedCondition(c) >= 0 {
		return nil
	}
	return []types.NamespacedName{{Namespace: c.Namespace, Name: c.Name}}
}

// claimsOfChange are the claims of a pod that came or went, or whose hold on them changed.
func claimsOfChange(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	before, changed := old.(*corev1.Pod)
	if !changed {
		return claimsOf(pod)
	}
	if before.UID != pod.UID { // another of the same name
		return append(claimsOf(pod), claimsOf(before)...)
	}
	if before.Spec.NodeName == pod.Spec.NodeName && shutDown(before) == shutDown(pod) && ended(before) == ended(pod) {
		return nil
	}
	return claimsOf(pod)
}

// byClaim is the name of an index of pods.
const byClaim = "claim"

// indexByClaim adds the index, unless another controller has done so.
func indexByClaim(informer cache.SharedIndexInformer) error {
	if _, has := informer.GetIndexer().GetIndexers()[byClaim]; has {
		return nil
	}
	return informer.AddIndexers(cache.Indexers{byClaim: func(obj any) ([]string, error) {
		pod, ok := obj.(*corev1.Pod)
		if !ok {
			return nil, nil
		}
		var keys []string
		for _, claim := range claimsOf(pod) {
			keys = append(keys, claim.String())
		}
		return keys, nil
	}})
}

type protector struct {
	env     controller.Env
	holders holders
	pods    cache.Indexer
	broken  error // why there is no index
}

// Reconcile implements controller.Reconciler.
func (p *protector) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	claim, err := p.env.Informers.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	pods, err := p.podsOf(key)
	if err != nil {
		return controller.Result{}, err
	}
	if claim.DeletionTimestamp == nil {
		claim, err = p.tellUse(ctx, claim, pods)
	}
	if err == nil {
		err = p.protect(ctx, claim, pods)
	}
	if apierrors.IsNotFound(err) { // its deletion brings nothing new
		err = nil
	}
	return controller.Result{}, err
}

// podsOf are the pods that name a claim.
func (p *protector) podsOf(key types.NamespacedName) ([]*corev1.Pod, error) {
	if p.broken != nil {
		return nil, p.broken
	}
	found, err := p.pods.ByIndex(byClaim, key.String())
	if err != nil {
		return nil, err
	}
	pods := make([]*corev1.Pod, 0, len(found))
	for _, obj := range found {
		if pod, ok := obj.(*corev1.Pod); ok {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// tellUse writes the condition Unused, and returns the claim as it then is.
func (p *protector) tellUse(ctx context.Context, claim *corev1.PersistentVolumeClaim, pods []*corev1.Pod) (*corev1.PersistentVolumeClaim, error) {
	used := slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return uses(pod, claim) })
	want := planUnused(claim, used, metav1.NewTime(p.env.Now()))
	if want == nil {
		return claim, nil
	}
	return p.env.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, want, metav1.UpdateOptions{})
}

// protect adds the finalizer or takes it off.
func (p *protector) protect(ctx context.Context, claim *corev1.PersistentVolumeClaim, pods []*corev1.Pod) error {
	finalizers, change, err := protection.Plan(claim, protection.Claim, func() (bool, error) {
		if slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return holds(pod, claim) }) {
			return true, nil
		}
		return p.holders.hold(ctx, claim)
	})
	if !change || err != nil {
		return err
	}
	claim = claim.DeepCopy()
	claim.Finalizers = finalizers
	_, err = p.env.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
	return err
}
