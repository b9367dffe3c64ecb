package endpointslice

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/backends"
	"dhow/controller"
	"dhow/controller/owned"
)

// managedBy marks the slices of this controller.
const managedBy = "endpointslice-controller.k8s.io"

// Controller lists the pods behind Services. Its keys are Services.
func Controller() controller.Controller {
	flight := owned.NewFlight[*discoveryv1.EndpointSlice]()
	return controller.Controller{
		Name: "endpointslice-controller",
		Reads: []controller.Read{
			{Object: &corev1.Service{}},
			{Object: &corev1.Pod{}, Keys: owned.ServicesOfPod},
			{Object: &discoveryv1.EndpointSlice{}, Keys: func(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
				keys := serviceOfSlice(env, obj, old)
				if old == nil && len(keys) > 0 {
					noteEnd(env, flight, keys[0], obj.(*discoveryv1.EndpointSlice))
				}
				return keys
			}},
			{Object: &corev1.Node{}, Keys: func(controller.Env, runtime.Object, runtime.Object) []types.NamespacedName { return nil }},
		},
		Writes: []controller.Write{
			{Group: discoveryv1.GroupName, Resources: []string{"endpointslices"}, Verbs: []string{"create", "update", "delete"}},
			{Resources: []string{"services/finalizers"}, Verbs: []string{"update"}},
		},
		Workers: 8,
		New: func(env controller.Env) controller.Reconciler {
			return &reconciler{env: env, flight: flight}
		},
	}
}

// noteEnd tells the flight of a slice that the cache has no more.
func noteEnd(env controller.Env, flight *owned.Flight[*discoveryv1.EndpointSlice], service types.NamespacedName, slice *discoveryv1.EndpointSlice) {
	cached, err := env.Informers.Discovery().V1().EndpointSlices().Lister().EndpointSlices(slice.Namespace).Get(slice.Name)
	if apierrors.IsNotFound(err) || err == nil && cached.UID != slice.UID {
		flight.Ended(service, slice.UID, env.Now())
	}
}

// serviceOfSlice is the Service of a slice of ours that someone has changed or deleted.
func serviceOfSlice(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	slice := obj.(*discoveryv1.EndpointSlice)
	if slice.Labels[discoveryv1.LabelManagedBy] != managedBy {
		return nil
	}
	return []types.NamespacedName{{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}}
}

type reconciler struct {
	env    controller.Env
	flight *owned.Flight[*discoveryv1.EndpointSlice]
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	have, err := r.slices(key)
	if err != nil {
		return controller.Result{}, err
	}
	have, late := r.flight.See(key, have, r.env.Now())
	service, err := r.env.Informers.Core().V1().Services().Lister().Services(key.Namespace).Get(key.Name)
	switch {
	case apierrors.IsNotFound(err):
		r.flight.Forget(key)
		return controller.Result{}, r.removeAll(ctx, have)
	case err != nil:
		return controller.Result{}, err
	case !backends.Chosen(service):
		return controller.Result{}, r.removeAll(ctx, have)
	}
	pods, err := owned.PodsOfService(r.env, service)
	if err != nil {
		return controller.Result{}, err
	}
	err = r.apply(ctx, key, plan(service, pods, r.zone, have))
	result := controller.Result{}
	if late {
		result.After = owned.Lag
	}
	return result, err
}

// slices are those of a Service that this controller keeps.
func (r *reconciler) slices(key types.NamespacedName) ([]*discoveryv1.EndpointSlice, error) {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: key.Name, discoveryv1.LabelManagedBy: managedBy})
	return r.env.Informers.Discovery().V1().EndpointSlices().Lister().EndpointSlices(key.Namespace).List(selector)
}

// zone is a node's.
func (r *reconciler) zone(node string) string {
	n, err := r.env.Informers.Core().V1().Nodes().Lister().Get(node)
	if err != nil {
		return ""
	}
	return n.Labels[corev1.LabelTopologyZone]
}

func (r *reconciler) removeAll(ctx context.Context, slices []*discoveryv1.EndpointSlice) error {
	var failed error
	for _, s := range slices {
		failed = errors.Join(failed, r.remove(ctx, s))
	}
	return failed
}

func (r *reconciler) remove(ctx context.Context, s *discoveryv1.EndpointSlice) error {
	err := r.env.Client.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// apply writes first what is new or changed, so that at no moment less is listed than serves.
func (r *reconciler) apply(ctx context.Context, key types.NamespacedName, c changes) error {
	client := r.env.Client.DiscoveryV1().EndpointSlices(key.Namespace)
	for _, s := range c.update {
		if _, err := client.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	for _, s := range c.create {
		made, err := client.Create(ctx, s, metav1.CreateOptions{})
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		if err != nil {
			return err
		}
		r.flight.Made(key, made, r.env.Now())
	}
	for _, s := range c.remove {
		if err := r.remove(ctx, s); err != nil {
			return err
		}
		r.flight.Deleted(key, s.UID, r.env.Now())
	}
	return nil
}
