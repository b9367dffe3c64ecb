package volumespec

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// CheckPersistent checks the specification of a PersistentVolume; name is the volume's. old is its specification
// before a change, whose values may stay although newer rules forbid them; nil on create.
func CheckPersistent(l *check.List, at *field.Path, spec, old *corev1.PersistentVolumeSpec, name string) {
	checkPersistentModes(l, at.Child("accessModes"), spec.AccessModes)
	checkCapacity(l, at.Child("capacity"), spec.Capacity)
	if spec.PersistentVolumeReclaimPolicy != "" {
		check.Known(l, at.Child("persistentVolumeReclaimPolicy"), spec.PersistentVolumeReclaimPolicy,
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)
	}
	if spec.NodeAffinity != nil {
		checkVolumeAffinity(l, at.Child("nodeAffinity"), spec.NodeAffinity, old != nil && hasOddValues(old.NodeAffinity))
	}
	checkPersistentSources(l, at, spec, name)
	checkReclaim(l, at, spec)
	if spec.StorageClassName != "" {
		l.Subdomain(at.Child("storageClassName"), spec.StorageClassName)
	}
	check.KnownPtr(l, at.Child("volumeMode"), spec.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	checkAttributesClass(l, at, spec)
}

// CheckInlineVolume checks a PersistentVolume's specification that stands in another object, which attaches it: such
// a volume is a CSI driver's, and bound to nothing.
func CheckInlineVolume(l *check.List, at *field.Path, spec *corev1.PersistentVolumeSpec) {
	const inline = "may not be specified in the context of inline volumes"
	if spec.ClaimRef != nil {
		l.Forbidden(at.Child("claimRef"), inline)
	}
	if len(spec.Capacity) > 0 {
		l.Forbidden(at.Child("capacity"), inline)
	}
	if spec.CSI == nil {
		l.Required(at.Child("csi"), "has to be specified in the context of inline volumes")
	}
	checkPersistentModes(l, at.Child("accessModes"), spec.AccessModes)
	if p := spec.PersistentVolumeReclaimPolicy; p != "" && p != corev1.PersistentVolumeReclaimRetain {
		l.Forbidden(at.Child("persistentVolumeReclaimPolicy"), "may only be Retain in the context of inline volumes")
	}
	if spec.NodeAffinity != nil {
		l.Forbidden(at.Child("nodeAffinity"), inline)
	}
	checkPersistentSources(l, at, spec, "")
	checkReclaim(l, at, spec)
	if spec.StorageClassName != "" {
		l.Forbidden(at.Child("storageClassName"), inline)
	}
	if m := spec.VolumeMode; m != nil && *m != corev1.PersistentVolumeFilesystem {
		l.Forbidden(at.Child("volumeMode"), "may not specify volumeMode other than Filesystem in the context of inline volumes")
	}
	checkAttributesClass(l, at, spec)
}

func checkPersistentModes(l *check.List, at *field.Path, modes []corev1.PersistentVolumeAccessMode) {
	if len(modes) == 0 {
		l.Required(at, "")
	}
	checkAccessModes(l, at, modes)
}

// checkCapacity requires the amount of storage, and nothing else.
func checkCapacity(l *check.List, at *field.Path, capacity corev1.ResourceList) {
	if len(capacity) == 0 {
		l.Required(at, "")
	}
	if _, ok := capacity[corev1.ResourceStorage]; !ok || len(capacity) > 1 {
		l.Add(field.NotSupported(at, capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for name, amount := range capacity {
		here := at.Key(string(name))
		CheckAmount(l, here, amount)
		if amount.Sign() <= 0 {
			l.Invalid(here, amount.String(), "must be greater than zero")
		}
	}
}

// checkVolumeAffinity checks which nodes reach a volume.
func checkVolumeAffinity(l *check.List, at *field.Path, a *corev1.VolumeNodeAffinity, anyValue bool) {
	if a.Required == nil {
		l.Required(at.Child("required"), "must specify required node constraints")
		return
	}
	l.NodeSelector(at.Child("required"), a.Required, anyValue)
}

// hasOddValues says whether an affinity has values that no label can have.
func hasOddValues(a *corev1.VolumeNodeAffinity) bool {
	if a == nil || a.Required == nil {
		return false
	}
	for _, term := range a.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			for _, v := range e.Values {
				if len(validation.IsValidLabelValue(v)) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// checkReclaim keeps a node's root from being emptied.
func checkReclaim(l *check.List, at *field.Path, spec *corev1.PersistentVolumeSpec) {
	if spec.HostPath != nil && path.Clean(spec.HostPath.Path) == "/" && spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		l.Forbidden(at.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'")
	}
}

func checkAttributesClass(l *check.List, at *field.Path, spec *corev1.PersistentVolumeSpec) {
	name := spec.VolumeAttributesClassName
	if name == nil {
		return
	}
	if *name == "" {
		l.Required(at.Child("volumeAttributesClassName"), "an empty string is disallowed")
	} else {
		l.Subdomain(at.Child("volumeAttributesClassName"), *name)
	}
	if spec.CSI == nil {
		l.Required(at.Child("csi"), "has to be specified when using volumeAttributesClassName")
	}
}
