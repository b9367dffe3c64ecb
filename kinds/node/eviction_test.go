package node

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func executes(key string, added time.Duration) corev1.Taint {
	at := metav1.NewTime(noon.Add(added))
	return corev1.Taint{Key: key, Value: "v", Effect: corev1.TaintEffectNoExecute, TimeAdded: &at}
}

func seconds(n int64) *int64 { return &n }

func TestWhenPodsAreEvicted(t *testing.T) {
	const never = time.Duration(-1)
	exists := func(key string, s *int64) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, TolerationSeconds: s}
	}
	undated := corev1.Taint{Key: "k", Effect: corev1.TaintEffectNoExecute}
	for name, c := range map[string]struct {
		taints      []corev1.Taint
		tolerations []corev1.Toleration
		want        time.Duration // after noon, when it was first seen
	}{
		"no taint":                    {want: never},
		"nothing tolerated":           {[]corev1.Taint{executes("k", 0)}, nil, 0},
		"tolerated for ever":          {[]corev1.Taint{executes("k", 0)}, []corev1.Toleration{exists("k", nil)}, never},
		"everything tolerated":        {[]corev1.Taint{executes("k", 0)}, []corev1.Toleration{exists("", nil)}, never},
		"tolerated for a time":        {[]corev1.Taint{executes("k", -time.Minute)}, []corev1.Toleration{exists("k", seconds(300))}, 4 * time.Minute},
		"taint without a time":        {[]corev1.Taint{undated}, []corev1.Toleration{exists("k", seconds(300))}, 5 * time.Minute},
		"taint of the future":         {[]corev1.Taint{executes("k", time.Hour)}, []corev1.Toleration{exists("k", seconds(300))}, 5 * time.Minute},
		"tolerated for less than 0 s": {[]corev1.Taint{executes("k", 0)}, []corev1.Toleration{exists("k", seconds(-1))}, 0},
		"the shortest of two ends first": {[]corev1.Taint{executes("k", 0), executes("l", 0)},
			[]corev1.Toleration{exists("k", seconds(300)), exists("l", seconds(10))}, 10 * time.Second},
		"one of two not tolerated":   {[]corev1.Taint{executes("k", 0), executes("l", 0)}, []corev1.Toleration{exists("k", nil)}, 0},
		"another value is tolerated": {[]corev1.Taint{executes("k", 0)}, []corev1.Toleration{{Key: "k", Value: "w"}}, 0},
		"the value is tolerated":     {[]corev1.Taint{executes("k", 0)}, []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpEqual, Value: "v"}}, never},
		"another effect is tolerated": {[]corev1.Taint{executes("k", 0)},
			[]corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			at, evicted := evictionTime(&corev1.Pod{Spec: corev1.PodSpec{Tolerations: c.tolerations}}, c.taints, noon)
			if evicted != (c.want != never) || evicted && !at.Equal(noon.Add(c.want)) {
				t.Errorf("evicted %t at noon%+v, want %s", evicted, at.Sub(noon), c.want)
			}
		})
	}
}

func TestEvictedPodSaysWhyOnce(t *testing.T) {
	pod := disrupted(disrupted(&corev1.Pod{}, noon), noon)
	if len(pod.Status.Conditions) != 1 || pod.Status.Conditions[0].Reason != "DeletionByTaintManager" {
		t.Errorf("conditions %+v", pod.Status.Conditions)
	}
}
