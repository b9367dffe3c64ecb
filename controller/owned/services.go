package owned

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/backends"
	"dhow/controller"
)

// ServicesOfPod are the Services that list a pod, or did before it changed.
func ServicesOfPod(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	before, changed := old.(*corev1.Pod)
	if changed && !backends.Changed(before, pod) {
		return nil
	}
	services, err := env.Informers.Core().V1().Services().Lister().Services(pod.Namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for _, s := range services {
		if backends.Selects(s, pod.Labels) || changed && backends.Selects(s, before.Labels) {
			keys = append(keys, Key(s))
		}
	}
	return keys
}

// PodsOfService are those that a Service lists, ended ones among them.
func PodsOfService(env controller.Env, s *corev1.Service) ([]*corev1.Pod, error) {
	return env.Informers.Core().V1().Pods().Lister().Pods(s.Namespace).List(labels.SelectorFromSet(s.Spec.Selector))
}
