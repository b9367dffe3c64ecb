package pod

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"
)

func TestDefaultTolerationSeconds(t *testing.T) {
	forever := corev1.Toleration{Operator: corev1.TolerationOpExists}
	own := corev1.Toleration{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
	other := corev1.Toleration{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}
	for name, c := range map[string]struct {
		have  []corev1.Toleration
		added []string
	}{
		"none":         {nil, []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable}},
		"all":          {[]corev1.Toleration{forever}, nil},
		"one":          {[]corev1.Toleration{own}, []string{corev1.TaintNodeUnreachable}},
		"other effect": {[]corev1.Toleration{other}, []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Tolerations: c.have}}
			a := admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), "n", "p",
				corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, nil, false, nil)
			plugin := DefaultTolerationSeconds().(admission.MutationInterface)
			for range 2 { // the second time changes nothing
				if err := plugin.Admit(t.Context(), a, nil); err != nil {
					t.Fatal(err)
				}
			}
			added := pod.Spec.Tolerations[len(c.have):]
			if len(added) != len(c.added) {
				t.Fatalf("added %+v", added)
			}
			for i, toleration := range added {
				if toleration.Key != c.added[i] || *toleration.TolerationSeconds != 300 || toleration.Effect != corev1.TaintEffectNoExecute {
					t.Errorf("added %+v", toleration)
				}
			}
		})
	}
}
