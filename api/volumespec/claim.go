package volumespec

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	checkAccessModes(l, at.Child("accessModes"), spec.AccessModes)
	l.Selector(at.Child("selector"), spec.Selector)
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
	checkDataSources(l, at, spec)
	checkOptionalName(l, at.Child("volumeAttributesClassName"), spec.VolumeAttributesClassName)
}

func checkAccessModes(l *check.List, at *field.Path, modes []corev1.PersistentVolumeAccessMode) {
	if len(modes) == 0 {
		l.Required(at, "at least 1 access mode is required")
	}
	alone, shared := false, false
	for _, m := range modes {
		check.Known(l, at, m, corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod)
		alone = alone || m == corev1.ReadWriteOncePod
		shared = shared || m != corev1.ReadWriteOncePod
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

func checkDataSources(l *check.List, at *field.Path, spec *corev1.PersistentVolumeClaimSpec) {
	source, ref := spec.DataSource, spec.DataSourceRef
	if source != nil {
		checkTypedRef(l, at.Child("dataSource"), source.APIGroup, source.Kind, source.Name)
	}
	if ref == nil {
		return
	}
	checkTypedRef(l, at.Child("dataSourceRef"), ref.APIGroup, ref.Kind, ref.Name)
	if ref.Namespace != nil && *ref.Namespace != "" {
		l.Label(at.Child("dataSourceRef", "namespace"), *ref.Namespace)
		if source != nil {
			l.Invalid(at, at.Child("dataSource").String(), "may not be specified when dataSourceRef.namespace is specified")
		}
		return
	}
	if source != nil && (!reflect.DeepEqual(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name) {
		l.Invalid(at, at.Child("dataSource").String(), "must match dataSourceRef")
	}
}

func checkTypedRef(l *check.List, at *field.Path, group *string, kind, name string) {
	l.NonEmpty(at.Child("name"), name)
	l.NonEmpty(at.Child("kind"), kind)
	if group == nil || *group == "" {
		if kind != "PersistentVolumeClaim" {
			l.Invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
		}
		return
	}
	l.Subdomain(at.Child("apiGroup"), *group)
}
