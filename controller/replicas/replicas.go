// Package replicas keeps the number of pods of what asks for some: ReplicaSets, and ReplicationControllers, which are
// seen as such. The kinds say where their objects are and where the status goes.
package replicas

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"dhow/controller"
	"dhow/controller/owned"
)

// Object is one that asks for replicas.
type Object interface {
	metav1.Object
	runtime.Object
}

// Source says how the objects of one kind are reached.
type Source[T Object] struct {
	Name     string                  // the controller's, "replicaset-controller"
	Kind     schema.GroupVersionKind // "ReplicaSet"
	Resource string                  // "replicasets"
	Example  T
	// Informer is the shared one of the kind.
	Informer func(informers.SharedInformerFactory) cache.SharedIndexInformer
	// AsSet shows an object as a ReplicaSet. Both are read-only.
	AsSet func(T) *appsv1.ReplicaSet
	// Live fetches an object from the API.
	Live func(ctx context.Context, client kubernetes.Interface, namespace, name string) (metav1.Object, error)
	// WriteStatus gives an object a status, if it has another.
	WriteStatus func(ctx context.Context, client kubernetes.Interface, object T, status appsv1.ReplicaSetStatus) error
}

// Controller keeps the number of pods of a kind's objects.
func (s Source[T]) Controller() controller.Controller {
	flight := owned.NewFlight[*corev1.Pod]()
	return controller.Controller{
		Name: s.Name,
		Reads: []controller.Read{
			{Object: s.Example},
			{Object: &corev1.Pod{}, Keys: func(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
				s.noteEnd(env, flight, obj.(*corev1.Pod), old != nil)
				return s.ownersOfPod(env, obj, old)
			}},
		},
		Writes: []controller.Write{
			{Group: s.Kind.Group, Resources: []string{s.Resource + "/status"}, Verbs: []string{"update"}},
			{Group: s.Kind.Group, Resources: []string{s.Resource + "/finalizers"}, Verbs: []string{"update"}},
			{Resources: []string{"pods"}, Verbs: []string{"create", "delete", "patch"}},
		},
		Workers: 8,
		New: func(env controller.Env) controller.Reconciler {
			return &reconciler[T]{
				source: s, env: env, flight: flight,
				pods: owned.NewDependants[*corev1.Pod](env.Informers.Core().V1().Pods().Informer()),
				sets: owned.NewDependants[T](s.Informer(env.Informers)),
			}
		},
	}
}

// noteEnd tells the flight of a pod that the cache has no more.
func (s Source[T]) noteEnd(env controller.Env, flight *owned.Flight[*corev1.Pod], pod *corev1.Pod, changed bool) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if changed || ref == nil || ref.Kind != s.Kind.Kind {
		return
	}
	cached, err := env.Informers.Core().V1().Pods().Lister().Pods(pod.Namespace).Get(pod.Name)
	if apierrors.IsNotFound(err) || err == nil && cached.UID != pod.UID {
		flight.Ended(types.NamespacedName{Namespace: pod.Namespace, Name: ref.Name}, pod.UID, env.Now())
	}
}

// ownersOfPod is the object that a pod belongs to, and did before; of an orphan that is new or has new labels, those
// that would have it.
func (s Source[T]) ownersOfPod(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	before, changed := old.(*corev1.Pod)
	if !changed {
		return s.ownersOf(env, pod)
	}
	if !owned.Moved(before, pod) {
		return nil
	}
	keys := s.ownersOf(env, pod)
	if metav1.GetControllerOfNoCopy(before) != nil && !apiequality.Semantic.DeepEqual(before.OwnerReferences, pod.OwnerReferences) {
		keys = append(keys, s.ownersOf(env, before)...)
	}
	return keys
}

func (s Source[T]) ownersOf(env controller.Env, pod *corev1.Pod) []types.NamespacedName {
	if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
		if ref.Kind != s.Kind.Kind {
			return nil
		}
		return []types.NamespacedName{{Namespace: pod.Namespace, Name: ref.Name}}
	}
	var keys []types.NamespacedName
	// Errors are those of an index by namespace, which shared informers have.
	_ = cache.ListAllByNamespace(s.Informer(env.Informers).GetIndexer(), pod.Namespace, labels.Everything(), func(obj any) {
		set := s.AsSet(obj.(T))
		selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels)) {
			keys = append(keys, owned.Key(set))
		}
	})
	return keys
}
