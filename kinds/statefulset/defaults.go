package statefulset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"dhow/api/podspec"
	"dhow/api/volumespec"
)

// Default fills what a StatefulSet leaves open.
func Default(set *appsv1.StatefulSet) {
	s := &set.Spec
	if s.PodManagementPolicy == "" {
		s.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	u := &s.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		fill(&u.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		fill(&u.RollingUpdate.Partition, 0)
	}
	fill(&s.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	retain(&s.PersistentVolumeClaimRetentionPolicy.WhenDeleted)
	retain(&s.PersistentVolumeClaimRetentionPolicy.WhenScaled)
	fill(&s.Replicas, 1)
	fill(&s.RevisionHistoryLimit, 10)
	podspec.Default(&s.Template.Spec)
	for i := range s.VolumeClaimTemplates {
		c := &s.VolumeClaimTemplates[i]
		c.APIVersion, c.Kind = "v1", "PersistentVolumeClaim"
		volumespec.DefaultClaim(&c.Spec)
		if c.Status.Phase == "" {
			c.Status.Phase = corev1.ClaimPending
		}
	}
}

func retain(p *appsv1.PersistentVolumeClaimRetentionPolicyType) {
	if *p == "" {
		*p = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}
