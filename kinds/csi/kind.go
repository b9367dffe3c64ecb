// Package csi is all that the server knows of the kinds by which CSI drivers and Kubernetes speak of volumes:
// CSIDrivers, CSINodes, CSIStorageCapacities, VolumeAttachments and VolumeAttributesClasses. It attaches nothing.
package csi

import (
	"context"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"dhow/api/table"
	"dhow/api/volumespec"
	"dhow/api/warnings"
	"dhow/apiserver"
)

// Kinds defines all of them.
func Kinds() []apiserver.Kind {
	return []apiserver.Kind{drivers(), nodes(), capacities(), attachments(), attributesClasses()}
}

func returnDeleted(store *genericregistry.Store) { store.ReturnDeletedObject = true }

func nodes() apiserver.Kind {
	return apiserver.Define[*storagev1.CSINode, *storagev1.CSINodeList](storagev1.SchemeGroupVersion,
		apiserver.Names{Kind: "CSINode", Resource: "csinodes", Cluster: true},
		apiserver.Rules[*storagev1.CSINode]{
			RequireResourceVersion: true,
			PrepareForCreate: func(_ context.Context, n *storagev1.CSINode) {
				n.Status = storagev1.CSINodeStatus{} // of a feature that is off
			},
			PrepareForUpdate: func(_ context.Context, n, old *storagev1.CSINode) { n.Status = old.Status },
			Validate:         validateNode,
			ValidateUpdate:   validateNodeUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Number("Drivers", "Drivers indicates the number of CSI drivers registered on the node"), table.Age(),
			},
			Cells: func(n *storagev1.CSINode) []any {
				return []any{int64(len(n.Spec.Drivers)), table.Since(n.CreationTimestamp)}
			},
			Hook: returnDeleted,
		})
}

func capacities() apiserver.Kind {
	doc := storagev1.CSIStorageCapacity{}.SwaggerDoc()
	return apiserver.Define[*storagev1.CSIStorageCapacity, *storagev1.CSIStorageCapacityList](storagev1.SchemeGroupVersion,
		apiserver.Names{Kind: "CSIStorageCapacity", Resource: "csistoragecapacities"},
		apiserver.Rules[*storagev1.CSIStorageCapacity]{
			RequireResourceVersion: true,
			Validate:               validateCapacity,
			ValidateUpdate:         validateCapacityUpdate,
			Warnings: func(_ context.Context, c, _ *storagev1.CSIStorageCapacity) []string {
				return warnings.NodeLabelSelector(field.NewPath("nodeTopology"), c.NodeTopology)
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("StorageClassName", doc["storageClassName"]), table.Column("Capacity", doc["capacity"]),
			},
			Cells: func(c *storagev1.CSIStorageCapacity) []any {
				capacity := "<unset>"
				if c.Capacity != nil {
					capacity = c.Capacity.String()
				}
				return []any{c.StorageClassName, capacity}
			},
			Hook: returnDeleted,
		})
}

func attachments() apiserver.Kind {
	spec := storagev1.VolumeAttachmentSpec{}.SwaggerDoc()
	return apiserver.Define[*storagev1.VolumeAttachment, *storagev1.VolumeAttachmentList](storagev1.SchemeGroupVersion,
		apiserver.Names{Kind: "VolumeAttachment", Resource: "volumeattachments", Cluster: true},
		apiserver.Rules[*storagev1.VolumeAttachment]{
			Default: func(a *storagev1.VolumeAttachment) {
				if inline := a.Spec.Source.InlineVolumeSpec; inline != nil {
					volumespec.DefaultPersistentSource(&inline.PersistentVolumeSource)
				}
			},
			NoGeneration:           true,
			RequireResourceVersion: true,
			Validate:               validateAttachment,
			ValidateUpdate:         validateAttachmentUpdate,
			HasStatus:              true,
			StatusKeepsMeta:        true,
			ValidateStatusUpdate:   validateAttachmentUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				{Name: "Attacher", Type: "string", Format: "name", Description: spec["attacher"]},
				table.Column("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"]),
				table.Column("Node", spec["nodeName"]),
				{Name: "Attached", Type: "boolean", Description: storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"]},
				table.Age(),
			},
			Cells: func(a *storagev1.VolumeAttachment) []any {
				return []any{
					a.Spec.Attacher, table.Value(a.Spec.Source.PersistentVolumeName), a.Spec.NodeName, a.Status.Attached,
					table.Since(a.CreationTimestamp),
				}
			},
			Hook: returnDeleted,
		})
}

func attributesClasses() apiserver.Kind {
	return apiserver.Define[*storagev1.VolumeAttributesClass, *storagev1.VolumeAttributesClassList](storagev1.SchemeGroupVersion,
		apiserver.Names{Kind: "VolumeAttributesClass", Resource: "volumeattributesclasses", ShortNames: []string{"vac"}, Cluster: true},
		apiserver.Rules[*storagev1.VolumeAttributesClass]{
			Validate:       validateAttributesClass,
			ValidateUpdate: validateAttributesClassUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"]), table.Age(),
			},
			Cells: func(c *storagev1.VolumeAttributesClass) []any {
				return []any{c.DriverName, table.Since(c.CreationTimestamp)}
			},
			Hook: returnDeleted,
		})
}
