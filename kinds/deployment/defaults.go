package deployment

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"dhow/api/podspec"
)

// Default fills what a Deployment leaves open.
func Default(d *appsv1.Deployment) {
	s := &d.Spec
	fill(&s.Replicas, 1)
	fill(&s.RevisionHistoryLimit, 10)
	fill(&s.ProgressDeadlineSeconds, 600)
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		fill(&s.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		fill(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		fill(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	podspec.Default(&s.Template.Spec)
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}
