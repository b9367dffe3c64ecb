package endpoints

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"dhow/api/backends"
	"dhow/controller"
	"dhow/controller/owned"
)

// Controller writes the pods behind Services into Endpoints, for clients that do not read EndpointSlices yet.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "endpoint-controller",
		Reads: []controller.Read{
			{Object: &corev1.Service{}},
			{Object: &corev1.Pod{}, Keys: owned.ServicesOfPod},
			{Object: &corev1.Endpoints{}, Keys: ours},
		},
		Writes: []controller.Write{{Resources: []string{"endpoints", "endpoints/restricted"}, Verbs: []string{"create", "update", "delete"}}},
		New:    func(env controller.Env) controller.Reconciler { return &reconciler{env} },
	}
}

// ours are Endpoints that this controller has made; others it leaves alone.
func ours(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	e := obj.(*corev1.Endpoints)
	if e.Labels[managedByLabel] != managedBy {
		return nil
	}
	return []types.NamespacedName{owned.Key(e)}
}

type reconciler struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	core := r.env.Informers.Core().V1()
	service, err := core.Services().Lister().Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, r.remove(ctx, key)
	}
	if err != nil || !backends.Chosen(service) {
		return controller.Result{}, err
	}
	pods, err := owned.PodsOfService(r.env, service)
	if err != nil {
		return controller.Result{}, err
	}
	have, err := core.Endpoints().Lister().Endpoints(key.Namespace).Get(key.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return controller.Result{}, err
	}
	return controller.Result{}, r.write(ctx, have, plan(service, pods))
}

// remove deletes the Endpoints of a Service that is gone, whoever wrote them. Those in which an old client elects its
// leader never had a Service.
func (r *reconciler) remove(ctx context.Context, key types.NamespacedName) error {
	have, err := r.env.Informers.Core().V1().Endpoints().Lister().Endpoints(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if _, elects := have.GetAnnotations()[resourcelock.LeaderElectionRecordAnnotationKey]; err != nil || elects {
		return err
	}
	err = r.env.Client.CoreV1().Endpoints(key.Namespace).Delete(ctx, key.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &have.UID}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (r *reconciler) write(ctx context.Context, have, want *corev1.Endpoints) error {
	client := r.env.Client.CoreV1().Endpoints(want.Namespace)
	if have == nil {
		_, err := client.Create(ctx, want, metav1.CreateOptions{})
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		if apierrors.IsAlreadyExists(err) { // the watch has not shown it yet
			return apierrors.NewConflict(corev1.Resource("endpoints"), want.Name, err)
		}
		return err
	}
	if equality.Semantic.DeepEqual(have.Subsets, want.Subsets) && equality.Semantic.DeepEqual(have.Labels, want.Labels) &&
		have.Annotations[corev1.EndpointsOverCapacity] == want.Annotations[corev1.EndpointsOverCapacity] {
		return nil
	}
	next := have.DeepCopy()
	next.Subsets, next.Labels = want.Subsets, want.Labels
	if next.Annotations == nil {
		next.Annotations = map[string]string{}
	}
	delete(next.Annotations, corev1.EndpointsOverCapacity)
	for name, value := range want.Annotations {
		next.Annotations[name] = value
	}
	_, err := client.Update(ctx, next, metav1.UpdateOptions{})
	return err
}
