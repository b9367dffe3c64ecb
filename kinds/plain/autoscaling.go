package plain

import (
	"encoding/json"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"dhow/apiserver"
)

func cpuMetric(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		},
	}
}

// autoscalingV1 is the older version, which knows one metric. What it has no field for travels in an annotation,
// so that a change through it loses nothing.
func autoscalingV1() apiserver.Alias {
	return apiserver.DefineAlias[*autoscalingv1.HorizontalPodAutoscaler, *autoscalingv1.HorizontalPodAutoscalerList](
		autoscalingv1.SchemeGroupVersion, fromV1, toV1, nil)
}

// extrasAnnotation holds v2's fields as JSON in a v1 object.
const extrasAnnotation = "autoscaling.dhow.io/v2"

type extras struct {
	Metrics    []autoscalingv2.MetricSpec                       `json:"metrics,omitempty"`
	Behavior   *autoscalingv2.HorizontalPodAutoscalerBehavior   `json:"behavior,omitempty"`
	Current    []autoscalingv2.MetricStatus                     `json:"current,omitempty"`
	Conditions []autoscalingv2.HorizontalPodAutoscalerCondition `json:"conditions,omitempty"`
}

func fromV1(in *autoscalingv1.HorizontalPodAutoscaler, out *autoscalingv2.HorizontalPodAutoscaler) {
	in = in.DeepCopy()
	out.ObjectMeta = in.ObjectMeta
	out.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference(in.Spec.ScaleTargetRef)
	out.Spec.MinReplicas, out.Spec.MaxReplicas = in.Spec.MinReplicas, in.Spec.MaxReplicas
	out.Status.ObservedGeneration, out.Status.LastScaleTime = in.Status.ObservedGeneration, in.Status.LastScaleTime
	out.Status.CurrentReplicas, out.Status.DesiredReplicas = in.Status.CurrentReplicas, in.Status.DesiredReplicas
	var e extras
	if text, ok := out.Annotations[extrasAnnotation]; ok {
		if json.Unmarshal([]byte(text), &e) == nil {
			out.Spec.Metrics, out.Spec.Behavior = e.Metrics, e.Behavior
			out.Status.CurrentMetrics, out.Status.Conditions = e.Current, e.Conditions
		}
		delete(out.Annotations, extrasAnnotation)
	}
	if percent := in.Spec.TargetCPUUtilizationPercentage; percent != nil {
		out.Spec.Metrics = append([]autoscalingv2.MetricSpec{cpuMetric(*percent)}, out.Spec.Metrics...)
	}
}

func toV1(in *autoscalingv2.HorizontalPodAutoscaler, out *autoscalingv1.HorizontalPodAutoscaler) {
	in = in.DeepCopy()
	out.ObjectMeta = in.ObjectMeta
	out.Spec.ScaleTargetRef = autoscalingv1.CrossVersionObjectReference(in.Spec.ScaleTargetRef)
	out.Spec.MinReplicas, out.Spec.MaxReplicas = in.Spec.MinReplicas, in.Spec.MaxReplicas
	out.Status.ObservedGeneration, out.Status.LastScaleTime = in.Status.ObservedGeneration, in.Status.LastScaleTime
	out.Status.CurrentReplicas, out.Status.DesiredReplicas = in.Status.CurrentReplicas, in.Status.DesiredReplicas
	e := extras{Behavior: in.Spec.Behavior, Current: in.Status.CurrentMetrics, Conditions: in.Status.Conditions}
	for _, m := range in.Spec.Metrics {
		if percent := cpuPercent(m); percent != nil && out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = percent
			continue
		}
		e.Metrics = append(e.Metrics, m)
	}
	if len(e.Metrics)+len(e.Current)+len(e.Conditions) == 0 && e.Behavior == nil {
		return
	}
	text, err := json.Marshal(e)
	if err != nil {
		return // these types always marshal
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[extrasAnnotation] = string(text)
}

// cpuPercent is the target of a metric that v1 has a field for, else nil.
func cpuPercent(m autoscalingv2.MetricSpec) *int32 {
	if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU {
		return nil
	}
	return m.Resource.Target.AverageUtilization
}
