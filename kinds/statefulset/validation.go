package statefulset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/api/volumespec"
	"dhow/api/workload"
)

func validate(_ context.Context, set *appsv1.StatefulSet) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &set.Spec
	common(&l, at, s)
	for i := range s.VolumeClaimTemplates {
		volumespec.CheckClaim(&l, at.Child("volumeClaimTemplates").Index(i).Child("spec"), &s.VolumeClaimTemplates[i].Spec)
	}
	if s.ServiceName != "" {
		l.Label(at.Child("serviceName"), s.ServiceName)
	}
	return l.Errors()
}

// common checks what can change.
func common(l *check.List, at *field.Path, s *appsv1.StatefulSetSpec) {
	switch s.PodManagementPolicy {
	case "":
		l.Required(at.Child("podManagementPolicy"), "")
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		l.Invalid(at.Child("podManagementPolicy"), s.PodManagementPolicy, "must be 'OrderedReady' or 'Parallel'")
	}
	strategy(l, at.Child("updateStrategy"), &s.UpdateStrategy)
	if p := s.PersistentVolumeClaimRetentionPolicy; p != nil {
		here := at.Child("persistentVolumeClaimRetentionPolicy")
		const keep, drop = appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		check.Known(l, here.Child("whenDeleted"), p.WhenDeleted, keep, drop)
		check.Known(l, here.Child("whenScaled"), p.WhenScaled, keep, drop)
	}
	l.NonNegative(at.Child("replicas"), int64(table.Value(s.Replicas)))
	l.NonNegative(at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	if s.Ordinals != nil {
		l.NonNegative(at.Child("ordinals.start"), int64(s.Ordinals.Start))
	}
	if selector := l.WorkloadSelector(at.Child("selector"), s.Selector, "statefulset"); selector != nil {
		workload.Template(l, at.Child("template"), asPods(s), selector, "StatefulSet")
	}
}

// asPods is the template as the pods get it: with volumes from the claims, and names given by the set.
func asPods(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	t := s.Template.DeepCopy()
	t.Spec.Hostname, t.Spec.Subdomain = "", ""
	claimed, volumes := map[string]bool{}, []corev1.Volume(nil)
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		claimed[name] = true
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
	}
	for _, v := range t.Spec.Volumes {
		if !claimed[v.Name] {
			volumes = append(volumes, v)
		}
	}
	t.Spec.Volumes = volumes
	return t
}

func strategy(l *check.List, at *field.Path, u *appsv1.StatefulSetUpdateStrategy) {
	switch u.Type {
	case "":
		l.Required(at, "")
	case appsv1.OnDeleteStatefulSetStrategyType:
		if u.RollingUpdate != nil {
			l.Invalid(at.Child("rollingUpdate"), u.RollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")
		}
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if u.RollingUpdate != nil {
			rollingUpdate(l, at.Child("rollingUpdate"), u.RollingUpdate)
		}
	default:
		l.Invalid(at, u, "must be 'RollingUpdate' or 'OnDelete'")
	}
}

func rollingUpdate(l *check.List, at *field.Path, r *appsv1.RollingUpdateStatefulSetStrategy) {
	l.NonNegative(at.Child("partition"), int64(table.Value(r.Partition)))
	if r.MaxUnavailable == nil {
		return
	}
	here := at.Child("maxUnavailable")
	workload.IntOrPercent(l, here, *r.MaxUnavailable)
	if workload.IsZero(*r.MaxUnavailable) {
		l.Invalid(here, *r.MaxUnavailable, "cannot be 0")
	}
	workload.AtMostAll(l, here, *r.MaxUnavailable)
}

func validateUpdate(_ context.Context, set, old *appsv1.StatefulSet) field.ErrorList {
	var l check.List
	at := field.NewPath("spec")
	common(&l, at, &set.Spec)
	rest, was := set.Spec.DeepCopy(), &old.Spec
	rest.Replicas, rest.Template, rest.UpdateStrategy = was.Replicas, was.Template, was.UpdateStrategy
	rest.MinReadySeconds, rest.Ordinals, rest.RevisionHistoryLimit = was.MinReadySeconds, was.Ordinals, was.RevisionHistoryLimit
	rest.PersistentVolumeClaimRetentionPolicy = was.PersistentVolumeClaimRetentionPolicy
	if !equality.Semantic.DeepEqual(*rest, *was) {
		l.Forbidden(at, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "+
			"'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")
	}
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, set, old *appsv1.StatefulSet) field.ErrorList {
	var l check.List
	at, s := field.NewPath("status"), &set.Status
	workload.Counts(&l, at, s.Replicas, workload.Count{Name: "readyReplicas", Value: s.ReadyReplicas},
		workload.Count{Name: "currentReplicas", Value: s.CurrentReplicas}, workload.Count{Name: "updatedReplicas", Value: s.UpdatedReplicas},
		workload.Count{Name: "availableReplicas", Value: s.AvailableReplicas})
	if s.AvailableReplicas > s.ReadyReplicas {
		l.Invalid(at.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than status.readyReplicas")
	}
	l.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration)
	l.NonNegative(at.Child("collisionCount"), int64(table.Value(s.CollisionCount)))
	if now := table.Value(s.CollisionCount); now < table.Value(old.Status.CollisionCount) {
		l.Invalid(at.Child("collisionCount"), now, "cannot be decremented")
	}
	return l.Errors()
}
