package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"dhow/api/subresource"
)

func newEphemeralContainers(store *genericregistry.Store) rest.Storage {
	return subresource.New(store, subresource.Rules[*corev1.Pod]{
		Prepare: func(_ context.Context, pod, old *corev1.Pod) {
			added := pod.Spec.EphemeralContainers
			keepBut(pod, old, func(s *corev1.PodSpec) { s.EphemeralContainers = added })
		},
		Validate: func(_ context.Context, pod, old *corev1.Pod) field.ErrorList { return validateEphemeral(pod, old) },
		Owns:     owns(fieldpath.MakePrefixMatcherOrDie("spec", "ephemeralContainers")),
	})
}

func newResize(store *genericregistry.Store) rest.Storage {
	each := fieldpath.MatchAnyPathElement()
	return subresource.New(store, subresource.Rules[*corev1.Pod]{
		Prepare:  prepareResize,
		Validate: func(_ context.Context, pod, old *corev1.Pod) field.ErrorList { return validateResize(pod, old) },
		Owns: owns(
			fieldpath.MakePrefixMatcherOrDie("spec", "resources"),
			fieldpath.MakePrefixMatcherOrDie("spec", "containers", each, "resources"),
			fieldpath.MakePrefixMatcherOrDie("spec", "containers", each, "resizePolicy"),
			fieldpath.MakePrefixMatcherOrDie("spec", "initContainers", each, "resources"),
			fieldpath.MakePrefixMatcherOrDie("spec", "initContainers", each, "resizePolicy"),
		),
	})
}

func owns(fields ...*fieldpath.SetMatcher) map[fieldpath.APIVersion]fieldpath.Filter {
	return map[fieldpath.APIVersion]fieldpath.Filter{"v1": fieldpath.NewIncludeMatcherFilter(fields...)}
}

// keepBut keeps all of old but what change puts into the specification, and counts the change.
func keepBut(pod, old *corev1.Pod, change func(*corev1.PodSpec)) {
	kept := old.DeepCopy()
	pod.Spec, pod.Status = kept.Spec, kept.Status
	metav1.ResetObjectMetaForStatus(&pod.ObjectMeta, kept)
	change(&pod.Spec)
	pod.Generation = old.Generation
	if !equality.Semantic.DeepEqual(pod.Spec, old.Spec) {
		pod.Generation++
	}
}

// prepareResize keeps all but resources and resize policies. When containers came, went or moved there is
// nothing to pair them by: validation says so.
func prepareResize(_ context.Context, pod, old *corev1.Pod) {
	if !paired(pod.Spec.Containers, old.Spec.Containers) || !paired(pod.Spec.InitContainers, old.Spec.InitContainers) {
		return
	}
	asked := pod.Spec
	keepBut(pod, old, func(s *corev1.PodSpec) {
		s.Resources = asked.Resources
		for i := range s.Containers {
			s.Containers[i].Resources = asked.Containers[i].Resources
			s.Containers[i].ResizePolicy = asked.Containers[i].ResizePolicy
		}
		for i := range s.InitContainers {
			s.InitContainers[i].Resources = asked.InitContainers[i].Resources
			s.InitContainers[i].ResizePolicy = asked.InitContainers[i].ResizePolicy
		}
	})
}

func paired(now, old []corev1.Container) bool {
	if len(now) != len(old) {
		return false
	}
	for i := range now {
		if now[i].Name != old[i].Name {
			return false
		}
	}
	return true
}
