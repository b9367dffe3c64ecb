// Package persistentvolume is all that the server knows of PersistentVolumes: defaults, validation, what kubectl
// prints, and the controller that keeps bound ones. It binds no claims and makes no volumes.
package persistentvolume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	volumehelper "k8s.io/component-helpers/storage/volume"

	"dhow/api/table"
	"dhow/api/volumespec"
	"dhow/apiserver"
)

// Kind defines PersistentVolumes.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.PersistentVolume, *corev1.PersistentVolumeList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "PersistentVolume", Resource: "persistentvolumes", ShortNames: []string{"pv"}, Cluster: true},
		apiserver.Rules[*corev1.PersistentVolume]{
			Default:              Default,
			NoGeneration:         true,
			PrepareForCreate:     func(_ context.Context, v *corev1.PersistentVolume) { begin(v, metav1.Now()) },
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			PrepareForStatus:     func(_ context.Context, v, old *corev1.PersistentVolume) { dateStatus(v, old, metav1.Now()) },
			ValidateStatusUpdate: validateStatusUpdate,
			// Clients select by "name" since before metadata.name.
			Fields:  func(v *corev1.PersistentVolume) fields.Set { return fields.Set{"name": v.Name} },
			Columns: columns(),
			Cells:   cells,
			Hook:    func(store *genericregistry.Store) { store.ReturnDeletedObject = true },
		})
}

// Default fills what is unset.
func Default(v *corev1.PersistentVolume) {
	volumespec.DefaultPersistent(&v.Spec)
	if v.Status.Phase == "" {
		v.Status.Phase = corev1.VolumePending
	}
}

// begin gives a new volume its first phase.
func begin(v *corev1.PersistentVolume, now metav1.Time) {
	v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
}

// dateStatus says when the phase changed, unless the client has said so.
func dateStatus(v, old *corev1.PersistentVolume, now metav1.Time) {
	last, before := &v.Status.LastPhaseTransitionTime, old.Status.LastPhaseTransitionTime
	switch same := v.Status.Phase == old.Status.Phase; {
	case same && *last == nil:
		*last = before
	case !same && (*last == nil || (*last).Equal(before)):
		*last = &now
	}
}

func columns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeSpec{}.SwaggerDoc(), corev1.PersistentVolumeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Capacity", spec["capacity"]),
		table.Column("Access Modes", spec["accessModes"]),
		table.Column("Reclaim Policy", spec["persistentVolumeReclaimPolicy"]),
		table.Column("Status", status["phase"]),
		table.Column("Claim", spec["claimRef"]),
		table.Column("StorageClass", "StorageClass of the pv"),
		table.Column("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
		table.Column("Reason", status["reason"]),
		table.Age(),
		table.Wide("VolumeMode", spec["volumeMode"]),
	}
}

func cells(v *corev1.PersistentVolume) []any {
	size, claim, phase := v.Spec.Capacity[corev1.ResourceStorage], "", string(v.Status.Phase)
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	return []any{
		size.String(), volumespec.ShortModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim,
		volumehelper.GetPersistentVolumeClass(v), table.Unset(v.Spec.VolumeAttributesClassName), v.Status.Reason,
		table.Since(v.CreationTimestamp), table.Unset(v.Spec.VolumeMode),
	}
}
