// Package podref finds the API objects that a pod's specification refers to.
package podref

import (
	"fmt"
	"iter"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/podspec"
)

// Secrets are the names of all secrets that a pod uses: for pulling images, in its containers and its volumes.
func Secrets(spec *corev1.PodSpec) iter.Seq[string] {
	return named(func(yield func(string) bool) bool {
		for _, ref := range spec.ImagePullSecrets {
			if !yield(ref.Name) {
				return false
			}
		}
		for c := range podspec.Containers(spec) {
			for name := range ContainerSecrets(c.Container) {
				if !yield(name) {
					return false
				}
			}
		}
		for i := range spec.Volumes {
			for _, name := range volumeSecrets(&spec.Volumes[i].VolumeSource) {
				if !yield(name) {
					return false
				}
			}
		}
		return true
	})
}

// ContainerSecrets are the names of secrets in a container's environment.
func ContainerSecrets(c *corev1.Container) iter.Seq[string] {
	return named(func(yield func(string) bool) bool {
		for _, from := range c.EnvFrom {
			if from.SecretRef != nil && !yield(from.SecretRef.Name) {
				return false
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil && !yield(env.ValueFrom.SecretKeyRef.Name) {
				return false
			}
		}
		return true
	})
}

// ConfigMaps are the names of all ConfigMaps that a pod's containers and volumes use.
func ConfigMaps(spec *corev1.PodSpec) iter.Seq[string] {
	return named(func(yield func(string) bool) bool {
		for c := range podspec.Containers(spec) {
			for _, from := range c.EnvFrom {
				if from.ConfigMapRef != nil && !yield(from.ConfigMapRef.Name) {
					return false
				}
			}
			for _, env := range c.Env {
				if env.ValueFrom != nil && env.ValueFrom.ConfigMapKeyRef != nil && !yield(env.ValueFrom.ConfigMapKeyRef.Name) {
					return false
				}
			}
		}
		for _, v := range spec.Volumes {
			if v.ConfigMap != nil && !yield(v.ConfigMap.Name) {
				return false
			}
			for _, source := range projected(v.VolumeSource) {
				if source.ConfigMap != nil && !yield(source.ConfigMap.Name) {
					return false
				}
			}
		}
		return true
	})
}

// named passes over empty names.
func named(visit func(yield func(string) bool) bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		visit(func(name string) bool { return name == "" || yield(name) })
	}
}

func projected(v corev1.VolumeSource) []corev1.VolumeProjection {
	if v.Projected == nil {
		return nil
	}
	return v.Projected.Sources
}

func volumeSecrets(v *corev1.VolumeSource) []string {
	local := func(ref *corev1.LocalObjectReference) []string {
		if ref == nil {
			return nil
		}
		return []string{ref.Name}
	}
	switch {
	case v.Secret != nil:
		return []string{v.Secret.SecretName}
	case v.AzureFile != nil:
		return []string{v.AzureFile.SecretName}
	case v.CephFS != nil:
		return local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		return local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		return local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		return local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		return local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		return local(v.StorageOS.SecretRef)
	case v.CSI != nil:
		return local(v.CSI.NodePublishSecretRef)
	}
	var names []string
	for _, source := range projected(*v) {
		if source.Secret != nil {
			names = append(names, source.Secret.Name)
		}
	}
	return names
}

// First names the kind of API object, as an error message would, that a pod refers to; "" if it refers to none.
// A pod that refers to none can run without the API.
func First(spec *corev1.PodSpec) (string, error) {
	if spec.ServiceAccountName != "" {
		return "serviceaccounts", nil
	}
	for range Secrets(spec) {
		return "secrets", nil
	}
	for range ConfigMaps(spec) {
		return "configmaps", nil
	}
	if len(spec.ResourceClaims) > 0 {
		return "resourceclaims", nil
	}
	for _, v := range spec.Volumes {
		if what, err := volume(v); what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

func volume(v corev1.Volume) (string, error) {
	switch {
	case v.ConfigMap != nil:
		return "configmaps (via configmap volumes)", nil
	case v.Secret != nil:
		return "secrets (via secret volumes)", nil
	case v.CSI != nil:
		return "csidrivers (via CSI volumes)", nil
	case v.Glusterfs != nil:
		return "endpoints (via glusterFS volumes)", nil
	case v.PersistentVolumeClaim != nil:
		return "persistentvolumeclaims", nil
	case v.Ephemeral != nil:
		return "persistentvolumeclaims (via ephemeral volumes)", nil
	case v.AzureFile != nil:
		return "secrets (via azureFile volumes)", nil
	case v.Projected != nil:
		return projection(v)
	case v.VolumeSource == corev1.VolumeSource{}:
		return "", fmt.Errorf("unknown volume type for volume  %q", v.Name)
	}
	return "", nil
}

func projection(v corev1.Volume) (string, error) {
	for _, s := range v.Projected.Sources {
		switch {
		case s.ConfigMap != nil:
			return "configmaps (via projected volumes)", nil
		case s.Secret != nil:
			return "secrets (via projected volumes)", nil
		case s.ServiceAccountToken != nil:
			return "serviceaccounts (via projected volumes)", nil
		case s.ClusterTrustBundle != nil:
			return "clustertrustbundles", nil
		case s.PodCertificate != nil:
			return "podcertificates", nil
		case s.DownwardAPI == nil:
			return "", fmt.Errorf("unknown source for projected volume %q", v.Name)
		}
	}
	return "", nil
}
