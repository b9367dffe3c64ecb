// Package plain holds the kinds that have no folder of their own yet: one line each says how they are named and
// stored. Their defaults are beside it; validation is the API server's general one.
package plain

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"dhow/apiserver"
)

// Kinds lists them.
func Kinds() []apiserver.Kind {
	return []apiserver.Kind{
		apiserver.Define[*autoscalingv2.HorizontalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscalerList](autoscalingv2.SchemeGroupVersion,
			apiserver.Names{Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers", ShortNames: []string{"hpa"}, Categories: []string{"all"}},
			apiserver.Rules[*autoscalingv2.HorizontalPodAutoscaler]{HasStatus: true, Default: autoscaler}).With(autoscalingV1()),
	}
}

func autoscaler(a *autoscalingv2.HorizontalPodAutoscaler) {
	if a.Spec.MinReplicas == nil {
		one := int32(1)
		a.Spec.MinReplicas = &one
	}
	if len(a.Spec.Metrics) == 0 {
		a.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(80)}
	}
}
