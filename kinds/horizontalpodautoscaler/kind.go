// Package horizontalpodautoscaler is all that the server knows of HorizontalPodAutoscalers: both versions and what lies
// between them, defaults, validation, and what kubectl prints. It scales nothing.
package horizontalpodautoscaler

import (
	"context"
	"maps"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
	"dhow/apiserver"
)

type hpa = autoscalingv2.HorizontalPodAutoscaler

// Kind defines HorizontalPodAutoscalers; v2 is what is stored.
func Kind() apiserver.Kind {
	doc := autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()
	return apiserver.Define[*hpa, *autoscalingv2.HorizontalPodAutoscalerList](autoscalingv2.SchemeGroupVersion,
		apiserver.Names{Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers", ShortNames: []string{"hpa"}, Categories: []string{"all"}},
		apiserver.Rules[*hpa]{
			Default:              Default,
			PrepareForCreate:     func(_ context.Context, a *hpa) { dropCarried(a) },
			PrepareForUpdate:     func(_ context.Context, a, _ *hpa) { dropCarried(a) },
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Reference", doc["scaleTargetRef"]),
				table.Column("Targets", doc["metrics"]),
				table.Column("MinPods", doc["minReplicas"]),
				table.Column("MaxPods", doc["maxReplicas"]),
				table.Column("Replicas", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"]),
				table.Age(),
			},
			Cells: cells,
		}).
		With(apiserver.DefineAlias[*autoscalingv1.HorizontalPodAutoscaler, *autoscalingv1.HorizontalPodAutoscalerList](
			autoscalingv1.SchemeGroupVersion, fromV1, toV1, nil))
}

// dropCarried drops annotations by which v1 carries what it has no fields for: v2 has them.
func dropCarried(a *hpa) {
	if slices.ContainsFunc(carried, func(key string) bool { _, has := a.Annotations[key]; return has }) {
		a.Annotations = maps.Clone(a.Annotations)
		for _, key := range carried {
			delete(a.Annotations, key)
		}
	}
}

// Default fills what an autoscaler leaves open: it aims at 80 % of the CPU, and where it says how fast it scales in
// part, the rest is how fast all do.
func Default(a *hpa) {
	fill(&a.Spec.MinReplicas, 1)
	if len(a.Spec.Metrics) == 0 {
		a.Spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(80)}
	}
	b := a.Spec.Behavior
	if b == nil {
		return
	}
	const quarterMinute = 15
	double := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: quarterMinute}
	four := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: quarterMinute}
	fillRules(&b.ScaleUp, four, double)
	fill(&b.ScaleUp.StabilizationWindowSeconds, 0)
	fillRules(&b.ScaleDown, double)
}

func fillRules(r **autoscalingv2.HPAScalingRules, policies ...autoscalingv2.HPAScalingPolicy) {
	fill(r, autoscalingv2.HPAScalingRules{})
	fill(&(*r).SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if (*r).Policies == nil {
		(*r).Policies = policies
	}
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func cpuMetric(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		},
	}
}
