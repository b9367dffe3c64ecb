package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/volumespec"
)

func (c *checker) env(at *field.Path, vars []corev1.EnvVar) {
	for i := range vars {
		here := at.Index(i)
		if c.NonEmpty(here.Child("name"), vars[i].Name) {
			c.Each(here.Child("name"), vars[i].Name, validation.IsRelaxedEnvVarName(vars[i].Name))
		}
		if vars[i].ValueFrom != nil {
			c.envSource(here.Child("valueFrom"), &vars[i])
		}
	}
}

func (c *checker) envSource(at *field.Path, v *corev1.EnvVar) {
	from, sources := v.ValueFrom, 0
	if from.FieldRef != nil {
		sources++
		volumespec.CheckFieldRef(&c.List, at.Child("fieldRef"), from.FieldRef, volumespec.EnvFields)
	}
	if from.ResourceFieldRef != nil {
		sources++
		volumespec.CheckResourceRef(&c.List, at.Child("resourceFieldRef"), from.ResourceFieldRef, false)
	}
	if from.ConfigMapKeyRef != nil {
		sources++
		c.keyRef(at.Child("configMapKeyRef"), from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key)
	}
	if from.SecretKeyRef != nil {
		sources++
		c.keyRef(at.Child("secretKeyRef"), from.SecretKeyRef.Name, from.SecretKeyRef.Key)
	}
	if from.FileKeyRef != nil {
		sources++
		c.fileKeyRef(at.Child("fileKeyRef"), from.FileKeyRef)
	}
	switch {
	case sources == 0:
		c.Invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")
	case v.Value != "":
		c.Invalid(at, "", "may not be specified when `value` is not empty")
	case sources > 1:
		c.Invalid(at, "", "may not have more than one field specified at a time")
	}
}

func (c *checker) keyRef(at *field.Path, name, key string) {
	c.Subdomain(at.Child("name"), name)
	if c.NonEmpty(at.Child("key"), key) {
		c.Each(at.Child("key"), key, validation.IsConfigMapKey(key))
	}
}

func (c *checker) fileKeyRef(at *field.Path, ref *corev1.FileKeySelector) {
	if c.NonEmpty(at.Child("key"), ref.Key) {
		c.Each(at.Child("key"), ref.Key, validation.IsRelaxedEnvVarName(ref.Key))
	}
	if c.NonEmpty(at.Child("volumeName"), ref.VolumeName) {
		c.Label(at.Child("volumeName"), ref.VolumeName)
	}
	if c.NonEmpty(at.Child("path"), ref.Path) {
		c.NoBacksteps(at.Child("path"), ref.Path)
	}
}

// fileKeyRefs requires that files with variables are in the pod's own empty directories.
func (c *checker) fileKeyRefs(at *field.Path) {
	sources := map[string]*corev1.VolumeSource{}
	for i := range c.spec.Volumes {
		sources[c.spec.Volumes[i].Name] = &c.spec.Volumes[i].VolumeSource
	}
	for ctr := range ContainersAt(c.spec, at) {
		for i := range ctr.Env {
			if ctr.Env[i].ValueFrom == nil || ctr.Env[i].ValueFrom.FileKeyRef == nil {
				continue
			}
			name := ctr.Env[i].ValueFrom.FileKeyRef.VolumeName
			here := ctr.At.Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			switch source := sources[name]; {
			case source == nil:
				c.NotFound(here, name)
			case source.EmptyDir == nil:
				c.Invalid(here, name, "referenced volume must be of type emptyDir")
			}
		}
	}
}

func (c *checker) envFrom(at *field.Path, sources []corev1.EnvFromSource) {
	for i, s := range sources {
		here := at.Index(i)
		if s.Prefix != "" {
			c.Each(here.Child("prefix"), s.Prefix, validation.IsRelaxedEnvVarName(s.Prefix))
		}
		if s.ConfigMapRef != nil {
			c.envFromName(here.Child("configMapRef", "name"), s.ConfigMapRef.Name)
		}
		if s.SecretRef != nil {
			c.envFromName(here.Child("secretRef", "name"), s.SecretRef.Name)
		}
		switch {
		case s.ConfigMapRef == nil && s.SecretRef == nil:
			c.Invalid(at, "", "must specify one of: `configMapRef` or `secretRef`")
		case s.ConfigMapRef != nil && s.SecretRef != nil:
			c.Invalid(at, "", "may not have more than one field specified at a time")
		}
	}
}

func (c *checker) envFromName(at *field.Path, name string) {
	if c.NonEmpty(at, name) {
		c.Subdomain(at, name)
	}
}
