// Package persistentvolumeclaim is all that the server knows of PersistentVolumeClaims: defaults, validation, what
// kubectl prints, the admission that protects storage objects in use, and the controller that keeps used claims and
// says which are unused. It binds no volumes and makes none.
package persistentvolumeclaim

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	volumehelper "k8s.io/component-helpers/storage/volume"

	"dhow/api/quantity"
	"dhow/api/table"
	"dhow/api/volumespec"
	"dhow/apiserver"
)

// Kind defines PersistentVolumeClaims.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.PersistentVolumeClaim, *corev1.PersistentVolumeClaimList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims", ShortNames: []string{"pvc"}},
		apiserver.Rules[*corev1.PersistentVolumeClaim]{
			Default:      Default,
			NoGeneration: true,
			PrepareForCreate: func(_ context.Context, c *corev1.PersistentVolumeClaim) {
				c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
				prepareSources(&c.Spec, &corev1.PersistentVolumeClaimSpec{})
			},
			PrepareForUpdate: func(_ context.Context, c, old *corev1.PersistentVolumeClaim) {
				prepareSources(&c.Spec, &old.Spec)
			},
			Validate:       validate,
			ValidateUpdate: validateUpdate,
			Warnings:       warn,
			HasStatus:      true,
			PrepareForStatus: func(_ context.Context, c, old *corev1.PersistentVolumeClaim) {
				if old.Status.HealthStatus == nil { // of a feature that is off
					c.Status.HealthStatus = nil
				}
			},
			ValidateStatusUpdate: validateStatusUpdate,
			// Clients select by "name" since before metadata.name.
			Fields:  func(c *corev1.PersistentVolumeClaim) fields.Set { return fields.Set{"name": c.Name} },
			Columns: columns(),
			Cells:   cells,
			Hook:    func(store *genericregistry.Store) { store.ReturnDeletedObject = true },
		})
}

// Default fills what is unset.
func Default(c *corev1.PersistentVolumeClaim) {
	volumespec.DefaultClaim(&c.Spec)
	quantity.Round(c.Status.Capacity)
	quantity.Round(c.Status.AllocatedResources)
	if c.Status.Phase == "" {
		c.Status.Phase = corev1.ClaimPending
	}
}

func warn(_ context.Context, c, _ *corev1.PersistentVolumeClaim) []string {
	var all []string
	if _, set := c.Annotations[corev1.BetaStorageClassAnnotation]; set {
		all = append(all, fmt.Sprintf(`%s: deprecated since v1.8; use "storageClassName" attribute instead`,
			field.NewPath("metadata", "annotations").Key(corev1.BetaStorageClassAnnotation)))
	}
	for _, of := range []struct {
		name string
		list corev1.ResourceList
	}{{"requests", c.Spec.Resources.Requests}, {"limits", c.Spec.Resources.Limits}} {
		if amount := of.list[corev1.ResourceStorage]; amount.MilliValue()%1000 != 0 {
			all = append(all, fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer",
				field.NewPath("spec", "resources", of.name).Key("storage"), amount.String()))
		}
	}
	return all
}

func columns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeClaimSpec{}.SwaggerDoc(), corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Status", status["phase"]),
		table.Column("Volume", spec["volumeName"]),
		table.Column("Capacity", status["capacity"]),
		table.Column("Access Modes", status["accessModes"]),
		table.Column("StorageClass", "StorageClass of the pvc"),
		table.Column("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
		table.Age(),
		table.Wide("VolumeMode", spec["volumeMode"]),
	}
}

func cells(c *corev1.PersistentVolumeClaim) []any {
	phase, size, modes := string(c.Status.Phase), "", ""
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	if c.Spec.VolumeName != "" {
		amount := c.Status.Capacity[corev1.ResourceStorage]
		size, modes = amount.String(), volumespec.ShortModes(c.Status.AccessModes)
	}
	return []any{
		phase, c.Spec.VolumeName, size, modes, volumehelper.GetPersistentVolumeClaimClass(c),
		table.Unset(c.Spec.VolumeAttributesClassName), table.Since(c.CreationTimestamp), table.Unset(c.Spec.VolumeMode),
	}
}
