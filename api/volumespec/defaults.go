// Package volumespec holds the rules of the volumes of a pod: defaults and validation, for every source that
// the API knows. It mounts nothing.
package volumespec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"dhow/api/check"
	"dhow/api/quantity"
)

// Default fills what a volume leaves open.
func Default(v *corev1.Volume) {
	if ptr.AllPtrFieldsNil(&v.VolumeSource) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	switch {
	case v.HostPath != nil:
		fill(&v.HostPath.Type, corev1.HostPathUnset)
	case v.Secret != nil:
		fill(&v.Secret.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
	case v.ConfigMap != nil:
		fill(&v.ConfigMap.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
	case v.DownwardAPI != nil:
		fill(&v.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		defaultFiles(v.DownwardAPI.Items)
	case v.Projected != nil:
		defaultProjected(v.Projected)
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		DefaultClaim(&v.Ephemeral.VolumeClaimTemplate.Spec)
	case v.Image != nil:
		setString(&v.Image.PullPolicy, check.DefaultPullPolicy(v.Image.Reference))
	default:
		defaultRemote(v)
	}
}

func defaultProjected(p *corev1.ProjectedVolumeSource) {
	fill(&p.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
	for i := range p.Sources {
		if d := p.Sources[i].DownwardAPI; d != nil {
			defaultFiles(d.Items)
		}
		if t := p.Sources[i].ServiceAccountToken; t != nil {
			fill(&t.ExpirationSeconds, 3600)
		}
	}
}

func defaultFiles(files []corev1.DownwardAPIVolumeFile) {
	for i := range files {
		DefaultFieldRef(files[i].FieldRef)
	}
}

// DefaultFieldRef fills the API version of a reference to a field of the pod; nil is fine.
func DefaultFieldRef(ref *corev1.ObjectFieldSelector) {
	if ref != nil {
		setString(&ref.APIVersion, "v1")
	}
}

// DefaultClaim fills what the specification of a claim leaves open.
func DefaultClaim(spec *corev1.PersistentVolumeClaimSpec) {
	fill(&spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	quantity.Round(spec.Resources.Limits)
	quantity.Round(spec.Resources.Requests)
}

func defaultRemote(v *corev1.Volume) {
	switch {
	case v.ISCSI != nil:
		setString(&v.ISCSI.ISCSIInterface, "default")
	case v.RBD != nil:
		setString(&v.RBD.RBDPool, "rbd")
		setString(&v.RBD.RadosUser, "admin")
		setString(&v.RBD.Keyring, "/etc/ceph/keyring")
	case v.AzureDisk != nil:
		defaultAzureDisk(v.AzureDisk)
	case v.ScaleIO != nil:
		setString(&v.ScaleIO.StorageMode, "ThinProvisioned")
		setString(&v.ScaleIO.FSType, "xfs")
	}
}

// DefaultPersistent fills what the specification of a PersistentVolume leaves open.
func DefaultPersistent(spec *corev1.PersistentVolumeSpec) {
	setString(&spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	fill(&spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	DefaultPersistentSource(&spec.PersistentVolumeSource)
	quantity.Round(spec.Capacity)
}

// DefaultPersistentSource fills what the source of a PersistentVolume leaves open.
func DefaultPersistentSource(s *corev1.PersistentVolumeSource) {
	switch {
	case s.HostPath != nil:
		fill(&s.HostPath.Type, corev1.HostPathUnset)
	case s.ISCSI != nil:
		setString(&s.ISCSI.ISCSIInterface, "default")
	case s.RBD != nil:
		setString(&s.RBD.RBDPool, "rbd")
		setString(&s.RBD.RadosUser, "admin")
		setString(&s.RBD.Keyring, "/etc/ceph/keyring")
	case s.AzureDisk != nil:
		defaultAzureDisk(s.AzureDisk)
	case s.ScaleIO != nil:
		setString(&s.ScaleIO.StorageMode, "ThinProvisioned")
		setString(&s.ScaleIO.FSType, "xfs")
	}
}

func defaultAzureDisk(d *corev1.AzureDiskVolumeSource) {
	fill(&d.CachingMode, corev1.AzureDataDiskCachingReadWrite)
	fill(&d.FSType, "ext4")
	fill(&d.ReadOnly, false)
	fill(&d.Kind, corev1.AzureSharedBlobDisk)
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func setString[T ~string](p *T, value T) {
	if *p == "" {
		*p = value
	}
}
