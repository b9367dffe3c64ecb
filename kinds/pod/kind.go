// Package pod is all that the server knows of pods: defaults, validation, which changes are allowed, graceful
// deletion, what kubectl prints, and the subresources that bind, evict, resize and connect.
package pod

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"

	"dhow/api/podspec"
	"dhow/api/warnings"
	"dhow/apiserver"
)

// Subresource makes one subresource on the kind's own store.
type Subresource = func(store *genericregistry.Store) rest.Storage

// Config is what pods need from elsewhere.
type Config struct {
	// Connectors are the subresources that reach into a running pod through its node: log, exec, attach,
	// portforward, proxy. They are mounted as they are.
	Connectors map[string]Subresource
	// Budgets gives the client that eviction uses for PodDisruptionBudgets. It is called at the first eviction, when
	// the server runs. Nil: no pod has a budget.
	Budgets func() policyclient.PodDisruptionBudgetsGetter
}

// Kind defines pods.
func Kind(config Config) apiserver.Kind {
	subresources := map[string]Subresource{
		"binding":             func(s *genericregistry.Store) rest.Storage { return &Binding{store: s} },
		"eviction":            func(s *genericregistry.Store) rest.Storage { return newEviction(s, config.Budgets) },
		"ephemeralcontainers": newEphemeralContainers,
		"resize":              newResize,
	}
	maps.Copy(subresources, config.Connectors)
	return apiserver.Define[*corev1.Pod, *corev1.PodList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Pod", Resource: "pods", ShortNames: []string{"po"}, Categories: []string{"all"}},
		apiserver.Rules[*corev1.Pod]{
			Default:              Default,
			PrepareForCreate:     prepareForCreate,
			PrepareForUpdate:     prepareForUpdate,
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			PrepareForStatus:     prepareForStatus,
			ValidateStatusUpdate: validateStatusUpdate,
			Fields:               selectable,
			IndexFields:          []string{"spec.nodeName"},
			Columns:              columns(),
			Cells:                cells,
			GracePeriod:          gracePeriod,
			Subresources:         subresources,
			Beside:               map[string]func(*genericregistry.Store) rest.Storage{"bindings": newBindings},
			Hook:                 func(s *genericregistry.Store) { s.ReturnDeletedObject = true },
		})
}

// warn warns on create only, as upstream.
func warn(_ context.Context, pod, old *corev1.Pod) []string {
	if old != nil {
		return nil
	}
	return warnings.Pod(pod)
}

// Default fills what a pod leaves open.
func Default(pod *corev1.Pod) {
	podspec.DefaultPod(pod)
	defaultStatus(&pod.Status)
	agreeOnIP(&pod.Status)
}

// agreeOnIP: podIP, the older field, is the first of podIPs; where they differ it decides.
func agreeOnIP(s *corev1.PodStatus) {
	switch {
	case s.PodIP == "" && len(s.PodIPs) > 0:
		s.PodIP = s.PodIPs[0].IP
	case s.PodIP != "" && (len(s.PodIPs) == 0 || s.PodIPs[0].IP != s.PodIP):
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
}

// gracePeriod settles how long the pod gets to stop: what the client asks for, else what the pod says; nothing
// for pods that no node has, or that have ended.
func gracePeriod(_ context.Context, pod *corev1.Pod, options *metav1.DeleteOptions) bool {
	if options == nil {
		return false
	}
	var seconds int64
	switch {
	case pod.Spec.NodeName == "", pod.Status.Phase == corev1.PodFailed, pod.Status.Phase == corev1.PodSucceeded:
	case options.GracePeriodSeconds != nil:
		seconds = *options.GracePeriodSeconds
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		seconds = *pod.Spec.TerminationGracePeriodSeconds
	}
	if seconds < 0 {
		seconds = 1
	}
	options.GracePeriodSeconds = &seconds
	return true
}
