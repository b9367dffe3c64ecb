package podspec

import (
	corev1 "k8s.io/api/core/v1"
)

// DropDisabled clears the fields of alpha features, which are off, as upstream does; what the object (old, nil on
// create) has already stays.
func DropDisabled(spec, old *corev1.PodSpec) {
	if old != nil && usesDisabled(old) {
		return
	}
	clearDisabled(spec)
}

// usesDisabled says whether clearing would change spec.
func usesDisabled(spec *corev1.PodSpec) bool {
	return clearDisabled(spec.DeepCopy())
}

// clearDisabled says whether there was anything to clear.
func clearDisabled(spec *corev1.PodSpec) (found bool) {
	drop := func(set bool, clear func()) {
		if set {
			clear()
			found = true
		}
	}
	drop(spec.EvictionResponders != nil, func() { spec.EvictionResponders = nil })
	drop(spec.SchedulingGroup != nil, func() { spec.SchedulingGroup = nil })
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.EmptyDir != nil {
			drop(v.EmptyDir.Mode != nil, func() { v.EmptyDir.Mode = nil })
		}
		found = clearOwners(v) || found
	}
	for c := range Containers(spec) {
		for i := range c.VolumeMounts {
			m := &c.VolumeMounts[i]
			drop(m.BindMountOptions != nil, func() { m.BindMountOptions = nil })
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil && p.HTTPGet != nil {
				drop(p.HTTPGet.Protocol != nil, func() { p.HTTPGet.Protocol = nil })
			}
			if p != nil && p.GRPC != nil {
				drop(p.GRPC.Mode != nil, func() { p.GRPC.Mode = nil })
			}
		}
	}
	return found
}

// clearOwners clears the owners of a volume's files.
func clearOwners(v *corev1.Volume) (found bool) {
	drop := func(owner **int64) {
		found = found || *owner != nil
		*owner = nil
	}
	keys := func(items []corev1.KeyToPath) {
		for i := range items {
			drop(&items[i].User)
		}
	}
	files := func(items []corev1.DownwardAPIVolumeFile) {
		for i := range items {
			drop(&items[i].User)
		}
	}
	switch {
	case v.Secret != nil:
		drop(&v.Secret.DefaultUser)
		keys(v.Secret.Items)
	case v.ConfigMap != nil:
		drop(&v.ConfigMap.DefaultUser)
		keys(v.ConfigMap.Items)
	case v.DownwardAPI != nil:
		drop(&v.DownwardAPI.DefaultUser)
		files(v.DownwardAPI.Items)
	case v.Projected != nil:
		drop(&v.Projected.DefaultUser)
		for i := range v.Projected.Sources {
			s := &v.Projected.Sources[i]
			if s.Secret != nil {
				keys(s.Secret.Items)
			}
			if s.ConfigMap != nil {
				keys(s.ConfigMap.Items)
			}
			if s.DownwardAPI != nil {
				files(s.DownwardAPI.Items)
			}
			if s.ServiceAccountToken != nil {
				drop(&s.ServiceAccountToken.User)
			}
			if s.ClusterTrustBundle != nil {
				drop(&s.ClusterTrustBundle.User)
			}
			if s.PodCertificate != nil {
				drop(&s.PodCertificate.User)
			}
		}
	}
	return found
}
