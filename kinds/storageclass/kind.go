// Package storageclass is all that the server knows of StorageClasses: defaults, validation, what kubectl prints, the
// class that claims get by default, and which claims may grow. It provisions nothing.
package storageclass

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"dhow/api/table"
	"dhow/api/warnings"
	"dhow/apiserver"
)

// Kind defines StorageClasses.
func Kind() apiserver.Kind {
	return apiserver.Define[*storagev1.StorageClass, *storagev1.StorageClassList](storagev1.SchemeGroupVersion,
		apiserver.Names{Kind: "StorageClass", Resource: "storageclasses", ShortNames: []string{"sc"}, Cluster: true},
		apiserver.Rules[*storagev1.StorageClass]{
			Default:        Default,
			Validate:       validate,
			ValidateUpdate: validateUpdate,
			Warnings:       warn,
			Columns:        columns(),
			Cells:          cells,
			Hook:           func(store *genericregistry.Store) { store.ReturnDeletedObject = true },
		})
}

// Default deletes volumes with their claims, and makes them at once.
func Default(c *storagev1.StorageClass) {
	if c.ReclaimPolicy == nil {
		policy := corev1.PersistentVolumeReclaimDelete
		c.ReclaimPolicy = &policy
	}
	if c.VolumeBindingMode == nil {
		mode := storagev1.VolumeBindingImmediate
		c.VolumeBindingMode = &mode
	}
}

func warn(_ context.Context, c, _ *storagev1.StorageClass) []string {
	var all []string
	for i, term := range c.AllowedTopologies {
		for j, e := range term.MatchLabelExpressions {
			if use := warnings.NodeLabel(e.Key); use != "" {
				at := field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(j).Child("key")
				all = append(all, fmt.Sprintf("%s: %s", at, use))
			}
		}
	}
	return all
}

func columns() []metav1.TableColumnDefinition {
	doc := storagev1.StorageClass{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Provisioner", doc["provisioner"]),
		table.Column("ReclaimPolicy", doc["reclaimPolicy"]),
		table.Column("VolumeBindingMode", doc["volumeBindingMode"]),
		table.Column("AllowVolumeExpansion", doc["allowVolumeExpansion"]),
		table.Age(),
	}
}

func cells(c *storagev1.StorageClass) []any {
	name := c.Name
	if IsDefault(c) {
		name += " (default)"
	}
	return []any{
		name, c.Provisioner, string(table.Value(c.ReclaimPolicy)), string(table.Value(c.VolumeBindingMode)),
		table.Value(c.AllowVolumeExpansion), table.Since(c.CreationTimestamp),
	}
}
