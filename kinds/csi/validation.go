package csi

import (
	"context"
	"fmt"
	"maps"
	"math"

	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/volumespec"
)

var specPath = field.NewPath("spec")

func validateNode(_ context.Context, n *storagev1.CSINode) field.ErrorList {
	var l check.List
	names := sets.Set[string]{}
	for i := range n.Spec.Drivers {
		d, at := &n.Spec.Drivers[i], specPath.Child("drivers").Index(i)
		checkNodeDriver(&l, at, d)
		if names.Has(d.Name) {
			l.Duplicate(at.Child("name"), d.Name)
		}
		names.Insert(d.Name)
		checkTopologyKeys(&l, at, d.TopologyKeys)
	}
	return l.Errors()
}

// mostNodeID is the longest that a driver may call a node.
const mostNodeID = 256

func checkNodeDriver(l *check.List, at *field.Path, d *storagev1.CSINodeDriver) {
	volumespec.CheckDriverName(l, at.Child("name"), d.Name)
	l.NonEmpty(at.Child("nodeID"), d.NodeID)
	if len(d.NodeID) > mostNodeID {
		l.Invalid(at.Child("nodeID"), d.NodeID, fmt.Sprintf("must be %d characters or less", mostNodeID))
	}
	if d.Allocatable != nil && d.Allocatable.Count != nil {
		l.NonNegative(at.Child("allocatable", "count"), int64(*d.Allocatable.Count))
	}
}

// checkTopologyKeys requires different keys of labels. Upstream names no index here.
func checkTopologyKeys(l *check.List, at *field.Path, keys []string) {
	seen := sets.Set[string]{}
	for _, key := range keys {
		l.NonEmpty(at, key)
		if seen.Has(key) {
			l.Duplicate(at, key)
		}
		seen.Insert(key)
		l.Qualified(at, key)
	}
}

// validateNodeUpdate lets drivers come and go, but not change: only how many volumes they can take.
func validateNodeUpdate(ctx context.Context, n, old *storagev1.CSINode) field.ErrorList {
	var l check.List
	l.Add(validateNode(ctx, n)...)
	for i := range old.Spec.Drivers {
		for j := range n.Spec.Drivers {
			was, is := old.Spec.Drivers[i].DeepCopy(), n.Spec.Drivers[j].DeepCopy()
			if was.Name == is.Name {
				was.Allocatable, is.Allocatable = nil, nil
				l.Immutable(specPath.Child("drivers"), is, was)
			}
		}
	}
	return l.Errors()
}

func validateCapacity(_ context.Context, c *storagev1.CSIStorageCapacity) field.ErrorList {
	return checkCapacity(c, false)
}

func checkCapacity(c *storagev1.CSIStorageCapacity, anyValue bool) field.ErrorList {
	var l check.List
	l.Add(unversioned.ValidateLabelSelector(c.NodeTopology,
		unversioned.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: anyValue}, field.NewPath("nodeTopology"))...)
	l.Subdomain(field.NewPath("storageClassName"), c.StorageClassName)
	if c.Capacity != nil && c.Capacity.Sign() < 0 {
		l.Invalid(field.NewPath("capacity"), c.Capacity.String(), "must be greater than or equal to 0")
	}
	return l.Errors()
}

func validateCapacityUpdate(_ context.Context, c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	var l check.List
	odd := len(unversioned.ValidateLabelSelector(old.NodeTopology, unversioned.LabelSelectorValidationOptions{}, nil)) > 0
	l.Add(checkCapacity(c, odd)...)
	if !apiequality.Semantic.DeepEqual(c.NodeTopology, old.NodeTopology) {
		l.Invalid(field.NewPath("nodeTopology"), c.NodeTopology, "field is immutable")
	}
	if c.StorageClassName != old.StorageClassName {
		l.Invalid(field.NewPath("storageClassName"), c.StorageClassName, "field is immutable")
	}
	return l.Errors()
}

func validateAttachment(_ context.Context, a *storagev1.VolumeAttachment) field.ErrorList {
	var l check.List
	volumespec.CheckDriverName(&l, specPath.Child("attacher"), a.Spec.Attacher)
	checkAttached(&l, specPath.Child("source"), &a.Spec.Source)
	l.Subdomain(specPath.Child("nodeName"), a.Spec.NodeName)
	checkAttachmentStatus(&l, field.NewPath("status"), &a.Status)
	if name := a.Spec.Source.PersistentVolumeName; name != nil {
		l.Subdomain(field.NewPath("spec.source.persistentVolumeName"), *name)
	}
	return l.Errors()
}

// checkAttached requires one volume: one by name, or one of a pod's own.
func checkAttached(l *check.List, at *field.Path, s *storagev1.VolumeAttachmentSource) {
	const one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
	switch inline, name := s.InlineVolumeSpec, s.PersistentVolumeName; {
	case inline == nil && name == nil:
		l.Required(at, one)
	case inline != nil && name != nil:
		l.Forbidden(at, one)
	case inline != nil:
		volumespec.CheckInlineVolume(l, at.Child("inlineVolumeSpec"), inline)
	case *name == "":
		l.Required(at.Child("persistentVolumeName"), "must specify non empty persistentVolumeName")
	}
}

// Bounds of what drivers may say about an attachment.
const (
	metadataSize = 256 << 10
	messageSize  = 1024
)

func checkAttachmentStatus(l *check.List, at *field.Path, s *storagev1.VolumeAttachmentStatus) {
	size := 0
	for key, value := range s.AttachmentMetadata {
		size += len(key) + len(value)
	}
	if size > metadataSize {
		l.Add(field.TooLong(at.Child("attachmentMetadata"), "", metadataSize))
	}
	checkVolumeError(l, at.Child("attachError"), s.AttachError)
	checkVolumeError(l, at.Child("detachError"), s.DetachError)
}

func checkVolumeError(l *check.List, at *field.Path, e *storagev1.VolumeError) {
	if e == nil {
		return
	}
	if len(e.Message) > messageSize {
		l.Add(field.TooLong(at.Child("message"), "", metadataSize)) // upstream's message names this bound
	}
	if e.ErrorCode != nil && *e.ErrorCode < 0 {
		l.Invalid(at.Child("errorCode"), *e.ErrorCode, validation.InclusiveRangeError(0, math.MaxInt32))
	}
}

func validateAttachmentUpdate(ctx context.Context, a, old *storagev1.VolumeAttachment) field.ErrorList {
	var l check.List
	l.Add(validateAttachment(ctx, a)...)
	l.Immutable(specPath, a.Spec, old.Spec)
	return l.Errors()
}

func validateAttributesClass(_ context.Context, c *storagev1.VolumeAttributesClass) field.ErrorList {
	var l check.List
	volumespec.CheckProvisioner(&l, field.NewPath("driverName"), c.DriverName)
	volumespec.CheckParameters(&l, field.NewPath("parameters"), c.Parameters, true)
	return l.Errors()
}

func validateAttributesClassUpdate(ctx context.Context, c, old *storagev1.VolumeAttributesClass) field.ErrorList {
	var l check.List
	if c.DriverName != old.DriverName {
		l.Forbidden(field.NewPath("driverName"), "updates to driverName are forbidden.")
	}
	if !maps.Equal(c.Parameters, old.Parameters) {
		l.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden.")
	}
	l.Add(validateAttributesClass(ctx, c)...)
	return l.Errors()
}
