package horizontalpodautoscaler

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"dhow/api/table"
)

const unknown = "<unknown>"

func cells(a *hpa) []any {
	least := "<unset>"
	if a.Spec.MinReplicas != nil {
		least = fmt.Sprint(*a.Spec.MinReplicas)
	}
	ref := a.Spec.ScaleTargetRef
	return []any{
		ref.Kind + "/" + ref.Name, targets(a.Spec.Metrics, a.Status.CurrentMetrics), least,
		int64(a.Spec.MaxReplicas), int64(a.Status.CurrentReplicas), table.Since(a.CreationTimestamp),
	}
}

// targets are the first metrics with what they are now and what they should be.
func targets(specs []autoscalingv2.MetricSpec, statuses []autoscalingv2.MetricStatus) string {
	if len(specs) == 0 {
		return "<none>"
	}
	const shown = 2
	var all []string
	for i := range specs {
		var now autoscalingv2.MetricStatus
		if i < len(statuses) {
			now = statuses[i]
		}
		all = append(all, target(&specs[i], &now))
	}
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s + %d more...", strings.Join(all[:shown], ", "), len(all)-shown)
}

func target(m *autoscalingv2.MetricSpec, now *autoscalingv2.MetricStatus) string {
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		var current autoscalingv2.MetricValueStatus
		if now.External != nil {
			current = now.External.Current
		}
		return amount(&m.External.Target, current)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		var current autoscalingv2.MetricValueStatus
		if now.Object != nil {
			current = now.Object.Current
		}
		return amount(&m.Object.Target, current)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		current := unknown
		if now.Pods != nil {
			current = text(now.Pods.Current.AverageValue)
		}
		return current + "/" + text(m.Pods.Target.AverageValue)
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		var current *autoscalingv2.MetricValueStatus
		if now.Resource != nil {
			current = &now.Resource.Current
		}
		return share(m.Resource.Name, &m.Resource.Target, current)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		var current *autoscalingv2.MetricValueStatus
		if now.ContainerResource != nil {
			current = &now.ContainerResource.Current
		}
		return share(m.ContainerResource.Name, &m.ContainerResource.Target, current)
	}
	return "<unknown type>"
}

// amount is a metric of something other than pods, as a whole or for each pod.
func amount(aim *autoscalingv2.MetricTarget, now autoscalingv2.MetricValueStatus) string {
	if aim.AverageValue != nil {
		return text(now.AverageValue) + "/" + aim.AverageValue.String() + " (avg)"
	}
	return text(now.Value) + "/" + text(aim.Value)
}

// share is how much of a resource pods use, as an amount or of what they ask for.
func share(name corev1.ResourceName, aim *autoscalingv2.MetricTarget, now *autoscalingv2.MetricValueStatus) string {
	current, want := unknown, "<auto>"
	switch {
	case aim.AverageValue != nil:
		want = aim.AverageValue.String()
		if now != nil {
			current = text(now.AverageValue)
		}
	default:
		if aim.AverageUtilization != nil {
			want = fmt.Sprintf("%d%%", *aim.AverageUtilization)
		}
		if now != nil && now.AverageUtilization != nil {
			current = fmt.Sprintf("%d%%", *now.AverageUtilization)
		}
	}
	return fmt.Sprintf("%s: %s/%s", name, current, want)
}

func text(q *resource.Quantity) string {
	if q == nil {
		return unknown
	}
	return q.String()
}
