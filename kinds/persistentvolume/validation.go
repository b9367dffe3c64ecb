package persistentvolume

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/volumespec"
	"dhow/api/warnings"
)

var specPath = field.NewPath("spec")

func validate(_ context.Context, v *corev1.PersistentVolume) field.ErrorList {
	return checkVolume(v, nil)
}

// checkVolume checks one volume; old is what it was before, nil on create.
func checkVolume(v, old *corev1.PersistentVolume) field.ErrorList {
	var l check.List
	var before *corev1.PersistentVolumeSpec
	if old != nil {
		before = &old.Spec
	}
	volumespec.CheckPersistent(&l, specPath, &v.Spec, before, v.Name)
	if _, set := v.Annotations[corev1.MountOptionAnnotation]; set && !takesMountOptions(&v.Spec.PersistentVolumeSource) {
		l.Forbidden(field.NewPath("metadata", "annotations", corev1.MountOptionAnnotation), "may not specify mount options for this volume type")
	}
	return l.Errors()
}

// takesMountOptions says whether the old annotation means anything to a kind of volume.
func takesMountOptions(s *corev1.PersistentVolumeSource) bool {
	return s.GCEPersistentDisk != nil || s.AWSElasticBlockStore != nil || s.Glusterfs != nil || s.NFS != nil || s.RBD != nil ||
		s.Quobyte != nil || s.ISCSI != nil || s.Cinder != nil || s.CephFS != nil || s.AzureFile != nil ||
		s.VsphereVolume != nil || s.AzureDisk != nil || s.PhotonPersistentDisk != nil
}

func validateUpdate(_ context.Context, v, old *corev1.PersistentVolume) field.ErrorList {
	var l check.List
	l.Add(checkVolume(v, old)...)
	now, before := source(v, old), &old.Spec.PersistentVolumeSource
	if !apiequality.Semantic.DeepEqual(now, before) {
		l.Forbidden(specPath.Child("persistentvolumesource"),
			fmt.Sprintf("spec.persistentvolumesource is immutable after creation\n%v", diff.Diff(before, now)))
	}
	l.Immutable(field.NewPath("volumeMode"), v.Spec.VolumeMode, old.Spec.VolumeMode)
	if a := old.Spec.NodeAffinity; a != nil && !sameNodes(v.Spec.NodeAffinity, a) {
		l.Invalid(field.NewPath("nodeAffinity"), v.Spec.NodeAffinity, "field is immutable, except for updating from beta label to GA")
	}
	if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
		l.Forbidden(specPath.Child("volumeAttributesClassName"), "update from non-nil value to nil is forbidden")
	}
	return l.Errors()
}

// source is the changed volume's, but for the secret that a volume of CSI may be given later.
func source(v, old *corev1.PersistentVolume) *corev1.PersistentVolumeSource {
	now, before := v.Spec.CSI, old.Spec.CSI
	if now == nil || before == nil || before.ControllerExpandSecretRef != nil {
		return &v.Spec.PersistentVolumeSource
	}
	s := v.Spec.PersistentVolumeSource.DeepCopy()
	s.CSI.ControllerExpandSecretRef = nil
	return s
}

// stableLabels are what some beta labels of nodes are called now.
var stableLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
}

// sameNodes says whether two affinities select the same nodes: the newer may name labels by their stable names.
func sameNodes(now, old *corev1.VolumeNodeAffinity) bool {
	old = old.DeepCopy()
	if now == nil || now.Required == nil || old.Required == nil {
		return apiequality.Semantic.DeepEqual(now, old)
	}
	for i := range min(len(old.Required.NodeSelectorTerms), len(now.Required.NodeSelectorTerms)) {
		renamed(old.Required.NodeSelectorTerms[i].MatchExpressions, now.Required.NodeSelectorTerms[i].MatchExpressions)
		renamed(old.Required.NodeSelectorTerms[i].MatchFields, now.Required.NodeSelectorTerms[i].MatchFields)
	}
	return apiequality.Semantic.DeepEqual(now, old)
}

// renamed gives old keys the stable names that now uses.
func renamed(old, now []corev1.NodeSelectorRequirement) {
	for i := range min(len(old), len(now)) {
		if key := now[i].Key; key != "" && stableLabels[old[i].Key] == key {
			old[i].Key = key
		}
	}
}

func validateStatusUpdate(_ context.Context, v, _ *corev1.PersistentVolume) field.ErrorList {
	var l check.List
	l.NonEmpty(field.NewPath("resourceVersion"), v.ResourceVersion)
	return l.Errors()
}

func warn(_ context.Context, v, _ *corev1.PersistentVolume) []string {
	var all []string
	for _, old := range []struct{ key, use string }{
		{corev1.BetaStorageClassAnnotation, `deprecated since v1.8; use "storageClassName" attribute instead`},
		{corev1.MountOptionAnnotation, `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, set := v.Annotations[old.key]; set {
			all = append(all, fmt.Sprintf("%s: %s", field.NewPath("metadata", "annotations").Key(old.key), old.use))
		}
	}
	if v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		all = append(all, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
	}
	if a := v.Spec.NodeAffinity; a != nil && a.Required != nil {
		for i := range a.Required.NodeSelectorTerms {
			at := specPath.Child("nodeAffinity", "required", "nodeSelectorTerms").Index(i)
			all = append(all, warnings.NodeSelectorTerm(at, &a.Required.NodeSelectorTerms[i])...)
		}
	}
	return append(all, warnings.PersistentVolume(&v.Spec, specPath)...)
}
