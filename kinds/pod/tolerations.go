package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/admit"
)

// DefaultTolerationSeconds lets pods stay for five minutes on a node that is not ready or cannot be reached, unless
// they say for how long themselves.
func DefaultTolerationSeconds() admission.Interface {
	return tolerations{admission.NewHandler(admission.Create, admission.Update)}
}

type tolerations struct{ *admission.Handler }

var _ admission.MutationInterface = tolerations{}

const tolerationSeconds = 300

// Admit adds what is missing.
func (tolerations) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok {
		return nil
	}
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if !toleratesEviction(pod.Spec.Tolerations, taint) {
			seconds := int64(tolerationSeconds)
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	return nil
}

func toleratesEviction(list []corev1.Toleration, taint string) bool {
	for _, t := range list {
		if (t.Key == taint || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}
