package serviceaccount

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/storage/names"

	"dhow/api/podref"
)

const (
	tokenVolume = "kube-api-access-"
	tokenPath   = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// mountToken mounts what a client of the API needs in every container that has nothing there yet.
func mountToken(spec *corev1.PodSpec) {
	name := ""
	for _, v := range spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolume) {
			name = v.Name
			break
		}
	}
	exists := name != ""
	if !exists {
		name = names.SimpleNameGenerator.GenerateName(tokenVolume)
	}
	mount := corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenPath}
	used := false
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			if !slices.ContainsFunc(containers[i].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenPath }) {
				containers[i].VolumeMounts = append(containers[i].VolumeMounts, mount)
				used = true
			}
		}
	}
	if used && !exists {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: tokenSource()}})
	}
}

// tokenSource has every field set that defaulting would set: it is past.
func tokenSource() *corev1.ProjectedVolumeSource {
	mode, seconds := corev1.ProjectedVolumeSourceDefaultMode, int64(warnOnlySeconds)
	return &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
		{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
			Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
		}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
			Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
		}}}},
	}}
}

// limitSecrets refuses secrets that an account with the annotation does not list.
func limitSecrets(account *corev1.ServiceAccount, spec *corev1.PodSpec) error {
	allowed := mountable(account)
	for _, v := range spec.Volumes {
		if v.Secret != nil && !allowed.Has(v.Secret.SecretName) {
			return fmt.Errorf("volume with secret.secretName=%q is not allowed because service account %s does not reference that secret", v.Secret.SecretName, account.Name)
		}
	}
	for _, group := range []struct {
		what       string
		containers []corev1.Container
	}{{"init container", spec.InitContainers}, {"container", spec.Containers}} {
		for i := range group.containers {
			if err := limitContainer(account, allowed, group.what, &group.containers[i]); err != nil {
				return err
			}
		}
	}
	pull := sets.Set[string]{}
	for _, ref := range account.ImagePullSecrets {
		pull.Insert(ref.Name)
	}
	for i, ref := range spec.ImagePullSecrets {
		if !pull.Has(ref.Name) {
			return fmt.Errorf("imagePullSecrets[%d].name=%q is not allowed because service account %s does not reference that imagePullSecret", i, ref.Name, account.Name)
		}
	}
	return nil
}

// limitEphemeral is limitSecrets for ephemeral containers alone.
func limitEphemeral(account *corev1.ServiceAccount, spec *corev1.PodSpec) error {
	allowed := mountable(account)
	for i := range spec.EphemeralContainers {
		c := (*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)
		if err := limitContainer(account, allowed, "ephemeral container", c); err != nil {
			return err
		}
	}
	return nil
}

func mountable(account *corev1.ServiceAccount) sets.Set[string] {
	allowed := sets.Set[string]{}
	for _, ref := range account.Secrets {
		allowed.Insert(ref.Name)
	}
	return allowed
}

func limitContainer(account *corev1.ServiceAccount, allowed sets.Set[string], what string, c *corev1.Container) error {
	for _, env := range c.Env {
		if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil && !allowed.Has(env.ValueFrom.SecretKeyRef.Name) {
			return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				what, c.Name, env.Name, env.ValueFrom.SecretKeyRef.Name, account.Name)
		}
	}
	for name := range podref.ContainerSecrets(c) {
		if !allowed.Has(name) {
			return fmt.Errorf("%s %s with envFrom referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				what, c.Name, name, account.Name)
		}
	}
	return nil
}
