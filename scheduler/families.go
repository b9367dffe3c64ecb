package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// families knows which pods belong together: those of one service, or of one owner.
type families struct {
	services    corelisters.ServiceLister
	controllers corelisters.ReplicationControllerLister
	sets        appslisters.ReplicaSetLister
	stateful    appslisters.StatefulSetLister
	informers   []cache.SharedIndexInformer
}

func newFamilies(factory informers.SharedInformerFactory) families {
	core, apps := factory.Core().V1(), factory.Apps().V1()
	return families{
		core.Services().Lister(), core.ReplicationControllers().Lister(), apps.ReplicaSets().Lister(), apps.StatefulSets().Lister(),
		[]cache.SharedIndexInformer{
			core.Services().Informer(), core.ReplicationControllers().Informer(),
			apps.ReplicaSets().Informer(), apps.StatefulSets().Informer(),
		},
	}
}

func (f *families) synced() []cache.DoneChecker {
	var all []cache.DoneChecker
	for _, informer := range f.informers {
		all = append(all, informer.HasSyncedChecker())
	}
	return all
}

// of selects a pod's family; nil when it has none.
func (f *families) of(pod *corev1.Pod) labels.Selector {
	set := labels.Set{}
	services, err := f.services.Services(pod.Namespace).List(labels.Everything())
	if err != nil {
		return nil // a lister over a cache of the right type cannot fail
	}
	for _, service := range services {
		if len(service.Spec.Selector) > 0 && labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			set = labels.Merge(set, service.Spec.Selector)
		}
	}
	selector := labels.SelectorFromSet(set)
	if owner := metav1.GetControllerOf(pod); owner != nil {
		if requirements, ok := f.owners(pod.Namespace, owner).Requirements(); ok {
			selector = selector.Add(requirements...)
		}
	}
	if selector.Empty() {
		return nil
	}
	return selector
}

// owners is what a pod's controller selects; everything (no requirement) when it is of another kind or gone.
func (f *families) owners(namespace string, owner *metav1.OwnerReference) labels.Selector {
	var by *metav1.LabelSelector
	switch owner.APIVersion + " " + owner.Kind {
	case "v1 ReplicationController":
		if o, err := f.controllers.ReplicationControllers(namespace).Get(owner.Name); err == nil {
			return labels.SelectorFromSet(o.Spec.Selector)
		}
	case "apps/v1 ReplicaSet":
		if o, err := f.sets.ReplicaSets(namespace).Get(owner.Name); err == nil {
			by = o.Spec.Selector
		}
	case "apps/v1 StatefulSet":
		if o, err := f.stateful.StatefulSets(namespace).Get(owner.Name); err == nil {
			by = o.Spec.Selector
		}
	}
	if by != nil {
		if selector, err := metav1.LabelSelectorAsSelector(by); err == nil {
			return selector
		}
	}
	return labels.Everything()
}
