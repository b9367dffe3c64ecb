package horizontalpodautoscaler

import (
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/quantity"
)

func metrics(l *check.List, at *field.Path, s *autoscalingv2.HorizontalPodAutoscalerSpec, describe version) {
	outside := false // of the pods, and so there without any
	for i := range s.Metrics {
		metric(l, at.Index(i), &s.Metrics[i], describe)
		kind := s.Metrics[i].Type
		outside = outside || kind == autoscalingv2.ObjectMetricSourceType || kind == autoscalingv2.ExternalMetricSourceType
	}
	if s.MinReplicas != nil && *s.MinReplicas == 0 && !outside {
		l.Forbidden(at, "must specify at least one Object or External metric to support scaling to zero replicas")
	}
}

// source is one of the fields of a metric.
type source struct {
	kind  autoscalingv2.MetricSourceType
	name  string
	set   bool
	check func(at *field.Path)
}

func metric(l *check.List, at *field.Path, m *autoscalingv2.MetricSpec, describe version) {
	sources := []source{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil, func(at *field.Path) { object(l, at, m.Object, describe) }},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil, func(at *field.Path) { external(l, at, m.External) }},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil, func(at *field.Path) { pods(l, at, m.Pods) }},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil, func(at *field.Path) {
			nameRequired(l, at.Child("name"), string(m.Resource.Name))
			shareOf(l, at.Child("target"), &m.Resource.Target)
		}},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil, func(at *field.Path) {
			containerResource(l, at, m.ContainerResource)
		}},
	}
	var kinds []autoscalingv2.MetricSourceType
	for _, s := range sources {
		kinds = append(kinds, s.kind)
	}
	if m.Type == "" {
		l.Required(at.Child("type"), "must specify a metric source type")
	}
	check.Known(l, at.Child("type"), m.Type, kinds...)
	if i := slices.IndexFunc(sources, func(s source) bool { return s.kind == m.Type }); i >= 0 && !sources[i].set {
		l.Required(at.Child(sources[i].name), "must populate information for the given metric source")
	}
	set := slices.DeleteFunc(slices.Clone(sources), func(s source) bool { return !s.set })
	for i, s := range set {
		if i == 0 {
			s.check(at.Child(s.name))
		}
		if s.kind != m.Type && len(set) > 1 {
			l.Forbidden(at.Child(s.name), "must populate the given metric source only")
		}
	}
}

func object(l *check.List, at *field.Path, o *autoscalingv2.ObjectMetricSource, describe version) {
	reference(l, at.Child("describedObject"), o.DescribedObject, describe)
	segment(l, at.Child("metric", "name"), o.Metric.Name, "must specify a metric name")
	aim(l, at.Child("target"), &o.Target)
	if o.Target.Value == nil && o.Target.AverageValue == nil {
		l.Required(at.Child("target", "averageValue"), "must set either a target value or averageValue")
	}
}

func external(l *check.List, at *field.Path, e *autoscalingv2.ExternalMetricSource) {
	segment(l, at.Child("metric", "name"), e.Metric.Name, "must specify a metric name")
	aim(l, at.Child("target"), &e.Target)
	if e.Target.Value == nil && e.Target.AverageValue == nil {
		l.Required(at.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target")
	}
	if e.Target.Value != nil && e.Target.AverageValue != nil {
		l.Forbidden(at.Child("target", "value"), "may not set both a target value for metric and a per-pod target")
	}
}

func pods(l *check.List, at *field.Path, p *autoscalingv2.PodsMetricSource) {
	segment(l, at.Child("metric", "name"), p.Metric.Name, "must specify a metric name")
	aim(l, at.Child("target"), &p.Target)
	if p.Target.AverageValue == nil {
		l.Required(at.Child("target", "averageValue"), "must specify a positive target averageValue")
	}
}

func containerResource(l *check.List, at *field.Path, c *autoscalingv2.ContainerResourceMetricSource) {
	if nameRequired(l, at.Child("name"), string(c.Name)) {
		quantity.CheckContainerName(l, at.Child("name"), c.Name)
	}
	if c.Container == "" {
		l.Required(at.Child("container"), "must specify a container")
	} else {
		l.Label(at.Child("container"), c.Container)
	}
	shareOf(l, at.Child("target"), &c.Target)
}

func nameRequired(l *check.List, at *field.Path, name string) bool {
	if name == "" {
		l.Required(at, "must specify a resource name")
	}
	return name != ""
}

// shareOf checks the target of a resource: an amount or a percentage.
func shareOf(l *check.List, at *field.Path, t *autoscalingv2.MetricTarget) {
	aim(l, at, t)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		l.Required(at.Child("averageUtilization"), "must set either a target raw value or a target utilization")
	case t.AverageUtilization != nil && t.AverageValue != nil:
		l.Forbidden(at.Child("averageValue"), "may not set both a target raw value and a target utilization")
	}
}

func aim(l *check.List, at *field.Path, t *autoscalingv2.MetricTarget) {
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	case "":
		l.Required(at.Child("type"), "must specify a metric target type")
		fallthrough
	default:
		l.Invalid(at.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue")
	}
	if t.Value != nil && t.Value.Sign() != 1 {
		l.Invalid(at.Child("value"), t.Value, "must be positive")
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		l.Invalid(at.Child("averageValue"), t.AverageValue, "must be positive")
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		l.Invalid(at.Child("averageUtilization"), t.AverageUtilization, "must be greater than 0")
	}
}
