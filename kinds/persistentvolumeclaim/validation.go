package persistentvolumeclaim

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"dhow/api/check"
	"dhow/api/quantity"
	"dhow/api/volumespec"
)

var specPath = field.NewPath("spec")

func validate(_ context.Context, c *corev1.PersistentVolumeClaim) field.ErrorList {
	var l check.List
	volumespec.CheckClaim(&l, specPath, &c.Spec)
	return l.Errors()
}

func validateUpdate(_ context.Context, c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	var l check.List
	volumespec.CheckChangedClaim(&l, specPath, &c.Spec, &old.Spec)
	now, before := comparable(&l, c, old)
	if !apiequality.Semantic.DeepEqual(now.Spec, before.Spec) {
		l.Forbidden(specPath, fmt.Sprintf("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n%v",
			diff.Diff(before.Spec, now.Spec)))
	}
	checkSize(&l, c, old)
	l.Immutable(field.NewPath("volumeMode"), c.Spec.VolumeMode, old.Spec.VolumeMode)
	checkAttributesClass(&l, c, old)
	return l.Errors()
}

// comparable are both claims without what may differ: a volume once it is bound, a class given later, and the size
// and the attributes of a bound one.
func comparable(l *check.List, c, old *corev1.PersistentVolumeClaim) (now, before *corev1.PersistentVolumeClaim) {
	now, before = c.DeepCopy(), old.DeepCopy()
	if before.Spec.VolumeName == "" {
		before.Spec.VolumeName = now.Spec.VolumeName
	}
	compareClass(l, now, before)
	if c.Status.Phase == corev1.ClaimBound {
		if now.Spec.Resources.Requests != nil {
			now.Spec.Resources.Requests[corev1.ResourceStorage] = before.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		now.Spec.VolumeAttributesClassName = before.Spec.VolumeAttributesClassName
	}
	return now, before
}

// compareClass lets a claim without a class get one, and a class move from the old annotation into the field.
func compareClass(l *check.List, now, old *corev1.PersistentVolumeClaim) {
	annotated, was := old.Annotations[corev1.BetaStorageClassAnnotation]
	annotation, is := now.Annotations[corev1.BetaStorageClassAnnotation]
	gets := old.Spec.StorageClassName == nil && now.Spec.StorageClassName != nil
	if gets && was && *now.Spec.StorageClassName == annotated && (!is || annotation == annotated) {
		now.Spec.StorageClassName = nil
		return
	}
	if annotation != annotated {
		l.Invalid(field.NewPath("metadata", "annotations", corev1.BetaStorageClassAnnotation), annotation, "field is immutable")
	}
	if gets && (!was || *now.Spec.StorageClassName == annotated) {
		now.Spec.StorageClassName = nil
	}
}

// checkSize lets a claim shrink only while its growth has not been done: to more than it has.
func checkSize(l *check.List, c, old *corev1.PersistentVolumeClaim) {
	size, before := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(before) < 0 && size.Cmp(old.Status.Capacity[corev1.ResourceStorage]) <= 0 {
		l.Forbidden(specPath.Child("resources", "requests", "storage"), "field can not be less than status.capacity")
	}
}

// checkAttributesClass keeps a class that has been applied from being taken away.
func checkAttributesClass(l *check.List, c, old *corev1.PersistentVolumeClaim) {
	at, now := specPath.Child("volumeAttributesClassName"), c.Spec.VolumeAttributesClassName
	if old.Status.CurrentVolumeAttributesClassName == nil || ptr.Equal(now, old.Spec.VolumeAttributesClassName) {
		return
	}
	const applied = "is forbidden when status.currentVolumeAttributesClassName is not nil"
	switch {
	case now == nil:
		l.Forbidden(at, "update to nil "+applied)
	case *now == "":
		l.Forbidden(at, "update to empty string "+applied)
	}
}

var resizeStates = sets.New(
	corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizePending, corev1.PersistentVolumeClaimNodeResizeInProgress,
	corev1.PersistentVolumeClaimNodeResizeInfeasible)

func validateStatusUpdate(_ context.Context, c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
	var l check.List
	l.NonEmpty(field.NewPath("resourceVersion"), c.ResourceVersion)
	if len(c.Spec.AccessModes) == 0 {
		l.Required(field.NewPath("Spec", "accessModes"), "")
	}
	at := field.NewPath("status")
	for name, amount := range c.Status.Capacity {
		volumespec.CheckAmount(&l, at.Child("capacity").Key(string(name)), amount)
	}
	states := at.Child("allocatedResourceStatuses")
	for name, state := range c.Status.AllocatedResourceStatuses {
		checkResource(&l, states, string(name))
		if !resizeStates.Has(state) {
			l.Add(field.NotSupported(states, name, sets.List(resizeStates)))
		}
	}
	allocated := at.Child("allocatedResources")
	for name, amount := range c.Status.AllocatedResources {
		if !checkResource(&l, allocated, string(name)) {
			continue
		}
		here := allocated.Key(string(name))
		if amount.Value() < 0 {
			volumespec.CheckAmount(&l, here, amount)
			continue
		}
		quantity.Check(&l, here, corev1.ResourceStorage, amount)
	}
	return l.Errors()
}

// checkResource requires storage, or a resource that is not Kubernetes' own.
func checkResource(l *check.List, at *field.Path, name string) bool {
	if wrong := validation.IsQualifiedName(name); len(wrong) > 0 {
		l.Each(at, name, wrong)
		return false
	}
	native := !strings.Contains(name, "/") || strings.Contains(name, corev1.ResourceDefaultNamespacePrefix)
	if native && name != string(corev1.ResourceStorage) {
		l.Add(field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceStorage}))
		return false
	}
	return true
}
