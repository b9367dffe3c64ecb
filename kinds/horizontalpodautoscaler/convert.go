package horizontalpodautoscaler

import (
	"encoding/json"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// Version v1 knows one metric, the use of CPU. What else an autoscaler has travels in annotations of a v1 object, as JSON
// of v1's types, so that a change through v1 loses nothing. Clients of upstream read and write them, too.
const (
	metricsKey    = "autoscaling.alpha.kubernetes.io/metrics"
	currentKey    = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsKey = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorKey   = "autoscaling.alpha.kubernetes.io/behavior"
)

var carried = []string{metricsKey, currentKey, conditionsKey, behaviorKey,
	"autoscaling.alpha.kubernetes.io/scale-down-tolerance", "autoscaling.alpha.kubernetes.io/scale-up-tolerance"}

func fromV1(in *autoscalingv1.HorizontalPodAutoscaler, out *hpa) {
	in = in.DeepCopy()
	out.ObjectMeta = in.ObjectMeta
	out.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference(in.Spec.ScaleTargetRef)
	out.Spec.MinReplicas, out.Spec.MaxReplicas = in.Spec.MinReplicas, in.Spec.MaxReplicas
	out.Status.ObservedGeneration, out.Status.LastScaleTime = in.Status.ObservedGeneration, in.Status.LastScaleTime
	out.Status.CurrentReplicas, out.Status.DesiredReplicas = in.Status.CurrentReplicas, in.Status.DesiredReplicas
	for _, m := range read[[]autoscalingv1.MetricSpec](in.Annotations, metricsKey) {
		out.Spec.Metrics = append(out.Spec.Metrics, specFromV1(&m))
	}
	if percent := in.Spec.TargetCPUUtilizationPercentage; percent != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuMetric(*percent))
	}
	if b := read[autoscalingv2.HorizontalPodAutoscalerBehavior](in.Annotations, behaviorKey); b.ScaleUp != nil || b.ScaleDown != nil {
		out.Spec.Behavior = &b
	}
	out.Status.CurrentMetrics = currentFromV1(in)
	for _, c := range read[[]autoscalingv1.HorizontalPodAutoscalerCondition](in.Annotations, conditionsKey) {
		out.Status.Conditions = append(out.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
			Type: autoscalingv2.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	dropCarried(out)
	Default(out)
}

// currentFromV1 prefers the annotation to the field, for it says more.
func currentFromV1(in *autoscalingv1.HorizontalPodAutoscaler) []autoscalingv2.MetricStatus {
	var all []autoscalingv2.MetricStatus
	for _, m := range read[[]autoscalingv1.MetricStatus](in.Annotations, currentKey) {
		all = append(all, statusFromV1(&m))
	}
	if percent := in.Status.CurrentCPUUtilizationPercentage; all == nil && percent != nil {
		return []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: percent},
			},
		}}
	}
	return all
}

func toV1(in *hpa, out *autoscalingv1.HorizontalPodAutoscaler) {
	in = in.DeepCopy()
	dropCarried(in)
	out.ObjectMeta = in.ObjectMeta
	out.Spec.ScaleTargetRef = autoscalingv1.CrossVersionObjectReference(in.Spec.ScaleTargetRef)
	out.Spec.MinReplicas, out.Spec.MaxReplicas = in.Spec.MinReplicas, in.Spec.MaxReplicas
	out.Status.ObservedGeneration, out.Status.LastScaleTime = in.Status.ObservedGeneration, in.Status.LastScaleTime
	out.Status.CurrentReplicas, out.Status.DesiredReplicas = in.Status.CurrentReplicas, in.Status.DesiredReplicas
	var others []autoscalingv1.MetricSpec
	for i := range in.Spec.Metrics {
		percent := cpuPercent(&in.Spec.Metrics[i])
		switch {
		case percent == nil:
			others = append(others, specToV1(&in.Spec.Metrics[i]))
		case out.Spec.TargetCPUUtilizationPercentage == nil:
			out.Spec.TargetCPUUtilizationPercentage = percent
		}
	}
	write(out, metricsKey, others)
	if b := in.Spec.Behavior; b != nil {
		carry(out, behaviorKey, b)
	}
	var current []autoscalingv1.MetricStatus
	for i := range in.Status.CurrentMetrics {
		m := &in.Status.CurrentMetrics[i]
		if m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Current.AverageUtilization != nil {
			out.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
		current = append(current, statusToV1(m))
	}
	write(out, currentKey, current)
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	for _, c := range in.Status.Conditions {
		conditions = append(conditions, autoscalingv1.HorizontalPodAutoscalerCondition{
			Type: autoscalingv1.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	write(out, conditionsKey, conditions)
}

// cpuPercent is the target of a metric that v1 has a field for, else nil.
func cpuPercent(m *autoscalingv2.MetricSpec) *int32 {
	if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU {
		return nil
	}
	return m.Resource.Target.AverageUtilization
}

// read is what an annotation holds, nothing where it does not make sense.
func read[T any](annotations map[string]string, key string) T {
	var value, none T
	if text, has := annotations[key]; !has || json.Unmarshal([]byte(text), &value) != nil {
		return none
	}
	return value
}

// write puts a list that is not empty into an annotation.
func write[T any](out *autoscalingv1.HorizontalPodAutoscaler, key string, list []T) {
	if len(list) > 0 {
		carry(out, key, list)
	}
}

func carry(out *autoscalingv1.HorizontalPodAutoscaler, key string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		return // the types of this API always marshal
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[key] = string(text)
}
