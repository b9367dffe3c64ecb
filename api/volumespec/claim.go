package volumespec

import (
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/quantity"
)

// checkTemplateMeta allows labels and annotations only.
func checkTemplateMeta(l *check.List, at *field.Path, meta *metav1.ObjectMeta) {
	l.Annotations(at.Child("annotations"), meta.Annotations)
	l.Labels(at.Child("labels"), meta.Labels)
	rest := meta.DeepCopy()
	rest.Labels, rest.Annotations = nil, nil
	fields := reflect.ValueOf(*rest)
	for i := range fields.NumField() {
		if !fields.Field(i).IsZero() {
			l.Forbidden(at.Child(check.JSONName(fields.Type().Field(i))), "cannot be set")
		}
	}
}

// CheckClaim checks the specification of a claim to be made.
func CheckClaim(l *check.List, at *field.Path, spec *corev1.PersistentVolumeClaimSpec) {
	checkClaim(l, at, spec, nil)
}

// CheckChangedClaim checks the specification of a claim that was old: values that newer rules forbid may stay.
// What may change at all is the claim's own rule.
func CheckChangedClaim(l *check.List, at *field.Path, spec, old *corev1.PersistentVolumeClaimSpec) {
	checkClaim(l, at, spec, old)
}

func checkClaim(l *check.List, at *field.Path, spec, old *corev1.PersistentVolumeClaimSpec) {
	modes := at.Child("accessModes")
	if len(spec.AccessModes) == 0 {
		l.Required(modes, "at least 1 access mode is required")
	}
	anyValue := old != nil && len(checkSelector(nil, old.Selector, false)) > 0
	l.Add(checkSelector(at.Child("selector"), spec.Selector, anyValue)...)
	checkAccessModes(l, modes, spec.AccessModes)
	storage := at.Child("resources").Key(string(corev1.ResourceStorage))
	switch amount, asked := spec.Resources.Requests[corev1.ResourceStorage]; {
	case !asked:
		l.Required(storage, "")
	case amount.Sign() <= 0:
		l.Invalid(storage, amount.String(), "must be greater than zero")
	default:
		quantity.Check(l, storage, corev1.ResourceStorage, amount)
	}
	checkOptionalName(l, at.Child("storageClassName"), spec.StorageClassName)
	check.KnownPtr(l, at.Child("volumeMode"), spec.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	checkDataSources(l, at, spec, old != nil && namesGroup(old))
	checkOptionalName(l, at.Child("volumeAttributesClassName"), spec.VolumeAttributesClassName)
}

func checkSelector(at *field.Path, s *metav1.LabelSelector, anyValue bool) field.ErrorList {
	return unversioned.ValidateLabelSelector(s, unversioned.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: anyValue}, at)
}

// namesGroup says whether a source of the claim's data is of a named API group.
func namesGroup(spec *corev1.PersistentVolumeClaimSpec) bool {
	return spec.DataSource != nil && spec.DataSource.APIGroup != nil || spec.DataSourceRef != nil && spec.DataSourceRef.APIGroup != nil
}

var accessModes = []corev1.PersistentVolumeAccessMode{
	corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod,
}

func checkAccessModes(l *check.List, at *field.Path, modes []corev1.PersistentVolumeAccessMode) {
	alone, shared := false, false
	for _, m := range modes {
		check.Known(l, at, m, accessModes...)
		switch {
		case m == corev1.ReadWriteOncePod:
			alone = true
		case slices.Contains(accessModes, m):
			shared = true
		}
	}
	if alone && shared {
		l.Forbidden(at, "may not use ReadWriteOncePod with other access modes")
	}
}

func checkOptionalName(l *check.List, at *field.Path, name *string) {
	if name != nil && *name != "" {
		l.Subdomain(at, *name)
	}
}

func checkDataSources(l *check.List, at *field.Path, spec *corev1.PersistentVolumeClaimSpec, anyGroup bool) {
	source, ref := spec.DataSource, spec.DataSourceRef
	if source != nil {
		checkTypedRef(l, at.Child("dataSource"), source.APIGroup, source.Kind, source.Name, anyGroup)
	}
	if ref == nil {
		return
	}
	checkTypedRef(l, at.Child("dataSourceRef"), ref.APIGroup, ref.Kind, ref.Name, anyGroup)
	if ref.Namespace != nil && *ref.Namespace != "" {
		l.Label(at.Child("dataSourceRef", "namespace"), *ref.Namespace)
		if source != nil {
			l.Invalid(at, at.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified")
		}
		return
	}
	if source != nil && (!reflect.DeepEqual(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name) {
		l.Invalid(at, at.Child("dataSource"), "must match dataSourceRef")
	}
}

func checkTypedRef(l *check.List, at *field.Path, group *string, kind, name string, anyGroup bool) {
	l.NonEmpty(at.Child("name"), name)
	l.NonEmpty(at.Child("kind"), kind)
	if group == nil || *group == "" {
		if kind != "PersistentVolumeClaim" {
			l.Invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
		}
		return
	}
	if !anyGroup {
		l.Subdomain(at.Child("apiGroup"), *group)
	}
}
