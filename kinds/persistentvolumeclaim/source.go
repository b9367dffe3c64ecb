package persistentvolumeclaim

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// prepareSources makes dataSource and dataSourceRef, the older and the newer name of what a volume begins with, say
// the same. old is the claim before a change, empty on create.
func prepareSources(spec, old *corev1.PersistentVolumeClaimSpec) {
	if ref := spec.DataSourceRef; ref != nil && ptr.Deref(ref.Namespace, "") != "" && old.DataSourceRef == nil {
		spec.DataSourceRef = nil // sources in other namespaces: a feature that is off
	}
	used := old.DataSource != nil || old.DataSourceRef != nil
	if !used && spec.DataSourceRef == nil && !classicSource(spec.DataSource) {
		spec.DataSource = nil // ignored since before there was a dataSourceRef
	}
	copySource(spec)
}

// classicSource says whether a source is one that dataSource may name by itself.
func classicSource(s *corev1.TypedLocalObjectReference) bool {
	if s == nil {
		return false
	}
	switch ptr.Deref(s.APIGroup, "") {
	case "":
		return s.Kind == "PersistentVolumeClaim"
	case "snapshot.storage.k8s.io":
		return s.Kind == "VolumeSnapshot"
	}
	return false
}

func copySource(spec *corev1.PersistentVolumeClaimSpec) {
	source, ref := spec.DataSource, spec.DataSourceRef
	switch {
	case source != nil && ref == nil:
		spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: copyOf(source.APIGroup), Kind: source.Kind, Name: source.Name}
	case source == nil && ref != nil && ptr.Deref(ref.Namespace, "") == "":
		spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: copyOf(ref.APIGroup), Kind: ref.Kind, Name: ref.Name}
	}
}

func copyOf(s *string) *string {
	if s == nil {
		return nil
	}
	return ptr.To(*s)
}
