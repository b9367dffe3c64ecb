package warnings

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volume warns of volumes whose drivers went.
func (l *list) volume(at *field.Path, v *corev1.Volume) {
	for _, gone := range []struct {
		name string
		set  bool
		text string
	}{
		{"photonPersistentDisk", v.PhotonPersistentDisk != nil, "deprecated in v1.11, non-functional in v1.16+"},
		{"gitRepo", v.GitRepo != nil, "deprecated in v1.11, and disabled by default in v1.33+"},
		{"scaleIO", v.ScaleIO != nil, "deprecated in v1.16, non-functional in v1.22+"},
		{"flocker", v.Flocker != nil, "deprecated in v1.22, non-functional in v1.25+"},
		{"storageOS", v.StorageOS != nil, "deprecated in v1.22, non-functional in v1.25+"},
		{"quobyte", v.Quobyte != nil, "deprecated in v1.22, non-functional in v1.25+"},
		{"glusterfs", v.Glusterfs != nil, "deprecated in v1.25, non-functional in v1.26+"},
		{"cephfs", v.CephFS != nil, "deprecated in v1.28, non-functional in v1.31+"},
		{"rbd", v.RBD != nil, "deprecated in v1.28, non-functional in v1.31+"},
	} {
		if gone.set {
			l.add(at.Child(gone.name), "%s", gone.text)
		}
	}
}

// PersistentVolume returns the warnings about volumes whose drivers went.
func PersistentVolume(s *corev1.PersistentVolumeSpec, at *field.Path) []string {
	var l list
	for _, gone := range []struct {
		name string
		set  bool
		text string
	}{
		{"cephfs", s.CephFS != nil, "deprecated in v1.28, non-functional in v1.31+"},
		{"photonPersistentDisk", s.PhotonPersistentDisk != nil, "deprecated in v1.11, non-functional in v1.16+"},
		{"scaleIO", s.ScaleIO != nil, "deprecated in v1.16, non-functional in v1.22+"},
		{"storageOS", s.StorageOS != nil, "deprecated in v1.22, non-functional in v1.25+"},
		{"glusterfs", s.Glusterfs != nil, "deprecated in v1.25, non-functional in v1.26+"},
		{"rbd", s.RBD != nil, "deprecated in v1.28, non-functional in v1.31+"},
	} {
		if gone.set {
			l.add(at.Child(gone.name), "%s", gone.text)
		}
	}
	return l
}

// file is a file of a volume and what it comes from, "" when that is clear.
type file struct{ path, source string }

func (f file) String() string {
	if f.source == "" {
		return fmt.Sprintf("%q", f.path)
	}
	return fmt.Sprintf("%q (%s)", f.path, f.source)
}

// overlaps warns of files that hide one another, within one volume.
func (l *list) overlaps(volumes []corev1.Volume) {
	for i := range volumes {
		v := &volumes[i]
		switch {
		case v.ConfigMap != nil:
			l.overlapping(v.Name, fmt.Sprintf("ConfigMap %q", v.ConfigMap.Name), keyFiles(v.ConfigMap.Items, ""))
		case v.Secret != nil:
			l.overlapping(v.Name, fmt.Sprintf("Secret %q", v.Secret.SecretName), keyFiles(v.Secret.Items, ""))
		case v.DownwardAPI != nil:
			l.overlapping(v.Name, "DownwardAPI", downwardFiles(v.DownwardAPI.Items, ""))
		case v.Projected != nil:
			var files []file
			for j := range v.Projected.Sources {
				if v.Projected.Sources[j] == (corev1.VolumeProjection{}) {
					*l = append(*l, fmt.Sprintf("volume %q (Projected) has no sources provided", v.Name))
				}
				files = append(files, projectedFiles(&v.Projected.Sources[j])...)
			}
			l.overlapping(v.Name, "Projected", files)
		}
	}
}

func (l *list) overlapping(volume, what string, files []file) {
	for i := range files {
		files[i].path = strings.TrimRight(files[i].path, "/")
		for _, before := range files[:i] {
			a, b := files[i].path, before.path
			if a != "" && b != "" && (strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")) {
				*l = append(*l, fmt.Sprintf("volume %q (%s): overlapping paths: %s with %s", volume, what, files[i], before))
			}
		}
	}
}

func keyFiles(items []corev1.KeyToPath, source string) (files []file) {
	for _, item := range items {
		files = append(files, file{item.Path, source})
	}
	return files
}

func downwardFiles(items []corev1.DownwardAPIVolumeFile, source string) (files []file) {
	for _, item := range items {
		files = append(files, file{item.Path, source})
	}
	return files
}

func projectedFiles(p *corev1.VolumeProjection) []file {
	switch {
	case p.ConfigMap != nil:
		return keyFiles(p.ConfigMap.Items, fmt.Sprintf("ConfigMap %q", p.ConfigMap.Name))
	case p.Secret != nil:
		return keyFiles(p.Secret.Items, fmt.Sprintf("Secret %q", p.Secret.Name))
	case p.DownwardAPI != nil:
		return downwardFiles(p.DownwardAPI.Items, "DownwardAPI")
	case p.ServiceAccountToken != nil:
		return []file{{p.ServiceAccountToken.Path, "ServiceAccountToken"}}
	case p.ClusterTrustBundle != nil:
		name := ""
		if n := p.ClusterTrustBundle.Name; n != nil {
			name = *n
		} else if n := p.ClusterTrustBundle.SignerName; n != nil {
			name = *n
		}
		return []file{{p.ClusterTrustBundle.Path, fmt.Sprintf("ClusterTrustBundle %q", name)}}
	case p.PodCertificate != nil:
		return []file{
			{p.PodCertificate.CertificateChainPath, "PodCertificate chain"},
			{p.PodCertificate.KeyPath, "PodCertificate key"},
			{p.PodCertificate.CredentialBundlePath, "PodCertificate credential bundle"},
		}
	}
	return nil
}
