package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// mounts checks a container's mounts against the pod's volumes and the container's own devices.
func (c *checker) mounts(at *field.Path, ctr *corev1.Container) {
	deviceNames, devicePaths := sets.Set[string]{}, sets.Set[string]{}
	for _, d := range ctr.VolumeDevices {
		deviceNames.Insert(d.Name)
		devicePaths.Insert(d.DevicePath)
	}
	taken := sets.Set[string]{}
	for i := range ctr.VolumeMounts {
		m, here := &ctr.VolumeMounts[i], at.Index(i)
		c.NonEmpty(here.Child("name"), m.Name)
		if _, there := c.volumes[m.Name]; !there {
			c.NotFound(here.Child("name"), m.Name)
		}
		c.NonEmpty(here.Child("mountPath"), m.MountPath)
		if taken.Has(m.MountPath) {
			c.Invalid(here.Child("mountPath"), m.MountPath, "must be unique")
		}
		taken.Insert(m.MountPath)
		if deviceNames.Has(m.Name) {
			c.Invalid(here.Child("name"), m.Name, "must not already exist in volumeDevices")
		}
		if devicePaths.Has(m.MountPath) {
			c.Invalid(here.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices")
		}
		c.subPaths(at, here, m)
		c.propagation(at.Child("mountPropagation"), m, ctr)
		c.recursiveReadOnly(at.Child("recursiveReadOnly"), m)
	}
}

// subPaths reports at the list of mounts, as upstream does, but for the conflict.
func (c *checker) subPaths(at, here *field.Path, m *corev1.VolumeMount) {
	if m.SubPath != "" {
		c.Descending(at.Child("subPath"), m.SubPath)
	}
	if m.SubPathExpr != "" {
		if m.SubPath != "" {
			c.Invalid(here.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive")
		}
		c.Descending(at.Child("subPathExpr"), m.SubPathExpr)
	}
}

func (c *checker) propagation(at *field.Path, m *corev1.VolumeMount, ctr *corev1.Container) {
	if m.MountPropagation == nil {
		return
	}
	check.Known(&c.List, at, *m.MountPropagation, corev1.MountPropagationBidirectional,
		corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	if *m.MountPropagation == corev1.MountPropagationBidirectional && !isTrue(securityOf(ctr).Privileged) {
		c.Forbidden(at, "Bidirectional mount propagation is available only to privileged containers")
	}
}

func (c *checker) recursiveReadOnly(at *field.Path, m *corev1.VolumeMount) {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return
	}
	switch *m.RecursiveReadOnly {
	case corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible:
		if !m.ReadOnly {
			c.Forbidden(at, "may only be specified when readOnly is true")
		}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			c.Forbidden(at, "may only be specified when mountPropagation is None or not specified")
		}
	default:
		check.Known(&c.List, at, *m.RecursiveReadOnly, corev1.RecursiveReadOnlyDisabled,
			corev1.RecursiveReadOnlyIfPossible, corev1.RecursiveReadOnlyEnabled)
	}
}

// devices checks a container's block devices, which come from claims.
func (c *checker) devices(at *field.Path, ctr *corev1.Container) {
	mountNames, mountPaths := sets.Set[string]{}, sets.Set[string]{}
	for _, m := range ctr.VolumeMounts {
		mountNames.Insert(m.Name)
		mountPaths.Insert(m.MountPath)
	}
	names, paths := sets.Set[string]{}, sets.Set[string]{}
	for i, d := range ctr.VolumeDevices {
		name, path := at.Index(i).Child("name"), at.Index(i).Child("devicePath")
		if c.NonEmpty(name, d.Name) && names.Has(d.Name) {
			c.Invalid(name, d.Name, "must be unique")
		}
		switch source, there := c.volumes[d.Name]; {
		case !there:
			c.NotFound(name, d.Name)
		case source.PersistentVolumeClaim == nil && source.Ephemeral == nil:
			c.Invalid(name, d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode")
		}
		if c.NonEmpty(path, d.DevicePath) && paths.Has(d.DevicePath) {
			c.Invalid(path, d.DevicePath, "must be unique")
		}
		var steps check.List
		if steps.NoBacksteps(path, d.DevicePath); len(steps.Errors()) > 0 {
			c.Invalid(path, d.DevicePath, "can not contain backsteps ('..')")
		}
		if mountNames.Has(d.Name) {
			c.Invalid(name, d.Name, "must not already exist in volumeMounts")
		}
		if mountPaths.Has(d.DevicePath) {
			c.Invalid(path, d.DevicePath, "must not already exist as a path in volumeMounts")
		}
		names.Insert(d.Name)
		paths.Insert(d.DevicePath)
	}
}
