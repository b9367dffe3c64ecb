package plugins

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/admit"
	"dhow/api/quantity"
)

// AntiAffinityTopology refuses pods that keep others off more than their node: the plug-in
// LimitPodHardAntiAffinityTopology.
func AntiAffinityTopology() admission.Interface {
	return antiAffinity{admission.NewHandler(admission.Create, admission.Update)}
}

type antiAffinity struct{ *admission.Handler }

var _ admission.ValidationInterface = antiAffinity{}

// Validate implements admission.ValidationInterface.
func (antiAffinity) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok || pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	for _, term := range pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if term.TopologyKey != corev1.LabelHostname {
			return apierrors.NewForbidden(a.GetResource().GroupResource(), pod.Name, fmt.Errorf(
				"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey %v but only key %v is allowed", term.TopologyKey, corev1.LabelHostname))
		}
	}
	return nil
}

// ExtendedResourceToleration lets pods that ask for extended resources onto the nodes that are kept for those.
func ExtendedResourceToleration() admission.Interface {
	return extendedResource{admission.NewHandler(admission.Create, admission.Update)}
}

type extendedResource struct{ *admission.Handler }

var _ admission.MutationInterface = extendedResource{}

// Admit implements admission.MutationInterface.
func (extendedResource) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok {
		return nil
	}
	var names []string
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range list {
			for name := range c.Resources.Requests {
				if quantity.IsExtended(name) {
					names = append(names, string(name))
				}
			}
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		tolerate(pod, corev1.Toleration{Key: name, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	return nil
}

// tolerate adds a toleration, in the place of those that match the same.
func tolerate(pod *corev1.Pod, t corev1.Toleration) {
	var all []corev1.Toleration
	placed := false
	for _, have := range pod.Spec.Tolerations {
		if !t.MatchToleration(&have) {
			all = append(all, have)
		} else if !placed {
			all = append(all, t)
			placed = true
		}
	}
	if !placed {
		all = append(all, t)
	}
	pod.Spec.Tolerations = all
}
