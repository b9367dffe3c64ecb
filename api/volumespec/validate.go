package volumespec

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// Validate checks the volumes of a pod and returns the good ones by name. pod is the pod's metadata, nil for a
// template.
func Validate(l *check.List, at *field.Path, volumes []corev1.Volume, pod *metav1.ObjectMeta) map[string]corev1.VolumeSource {
	byName := map[string]corev1.VolumeSource{}
	claims := ephemeralClaims(volumes, pod)
	for i := range volumes {
		v, here := &volumes[i], at.Index(i)
		var c check.List
		checkSource(&c, here, v, pod)
		if c.NonEmpty(here.Child("name"), v.Name) {
			c.Label(here.Child("name"), v.Name)
		}
		if _, taken := byName[v.Name]; taken {
			c.Duplicate(here.Child("name"), v.Name)
		}
		if len(c.Errors()) == 0 {
			byName[v.Name] = v.VolumeSource
		}
		l.Add(c.Errors()...)
		if v.PersistentVolumeClaim != nil && claims.Has(v.PersistentVolumeClaim.ClaimName) {
			l.Invalid(here.Child("persistentVolumeClaim", "claimName"), v.PersistentVolumeClaim.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume")
		}
	}
	return byName
}

// ephemeralClaims are the names of the claims that the pod's ephemeral volumes make.
func ephemeralClaims(volumes []corev1.Volume, pod *metav1.ObjectMeta) sets.Set[string] {
	names := sets.Set[string]{}
	if pod == nil || pod.Name == "" {
		return names
	}
	for i := range volumes {
		if volumes[i].Ephemeral != nil {
			names.Insert(pod.Name + "-" + volumes[i].Name)
		}
	}
	return names
}

// source is one of the kinds of volume; set says whether the volume is of it.
type source struct {
	name  string
	set   bool
	check func(l *check.List, at *field.Path)
}

// checkSource requires exactly one source, and that it is right.
func checkSource(l *check.List, at *field.Path, v *corev1.Volume, pod *metav1.ObjectMeta) {
	found := false
	for _, s := range append(localSources(v, pod), remoteSources(v)...) {
		switch {
		case !s.set:
		case found:
			l.Forbidden(at.Child(s.name), "may not specify more than 1 volume type")
		default:
			found = true
			s.check(l, at.Child(s.name))
		}
	}
	if !found {
		l.Required(at, "must specify a volume type")
	}
}

func localSources(v *corev1.Volume, pod *metav1.ObjectMeta) []source {
	return []source{
		{"emptyDir", v.EmptyDir != nil, func(l *check.List, at *field.Path) { checkEmptyDir(l, at, v.EmptyDir) }},
		{"hostPath", v.HostPath != nil, func(l *check.List, at *field.Path) { checkHostPath(l, at, v.HostPath) }},
		{"secret", v.Secret != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("secretName"), v.Secret.SecretName)
			checkItems(l, at, v.Secret.DefaultMode, v.Secret.Items)
		}},
		{"configMap", v.ConfigMap != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("name"), v.ConfigMap.Name)
			checkItems(l, at, v.ConfigMap.DefaultMode, v.ConfigMap.Items)
		}},
		{"downwardAPI", v.DownwardAPI != nil, func(l *check.List, at *field.Path) {
			l.Mode(at.Child("defaultMode"), v.DownwardAPI.DefaultMode)
			for i := range v.DownwardAPI.Items {
				checkFile(l, at, &v.DownwardAPI.Items[i])
			}
		}},
		{"projected", v.Projected != nil, func(l *check.List, at *field.Path) { checkProjected(l, at, v.Projected) }},
		{"persistentVolumeClaim", v.PersistentVolumeClaim != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("claimName"), v.PersistentVolumeClaim.ClaimName)
		}},
		{"nfs", v.NFS != nil, func(l *check.List, at *field.Path) { checkNFS(l, at, v.NFS) }},
		{"csi", v.CSI != nil, func(l *check.List, at *field.Path) { checkCSI(l, at, v.CSI) }},
		{"ephemeral", v.Ephemeral != nil, func(l *check.List, at *field.Path) { checkEphemeral(l, at, v, pod) }},
		{"image", v.Image != nil, func(l *check.List, at *field.Path) {
			if pod != nil {
				l.NonEmpty(at.Child("reference"), v.Image.Reference)
			}
			check.OneOf(l, at.Child("pullPolicy"), v.Image.PullPolicy, check.PullPolicies...)
		}},
	}
}

func checkEmptyDir(l *check.List, at *field.Path, dir *corev1.EmptyDirVolumeSource) {
	if dir.SizeLimit != nil && dir.SizeLimit.Sign() < 0 {
		l.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")
	}
}

func checkHostPath(l *check.List, at *field.Path, host *corev1.HostPathVolumeSource) {
	if !l.NonEmpty(at.Child("path"), host.Path) {
		return
	}
	l.NoBacksteps(at.Child("path"), host.Path)
	check.KnownPtr(l, at.Child("type"), host.Type, corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate,
		corev1.HostPathDirectory, corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket,
		corev1.HostPathCharDev, corev1.HostPathBlockDev)
}

// checkItems checks the files that a ConfigMap or a Secret becomes.
func checkItems(l *check.List, at *field.Path, mode *int32, items []corev1.KeyToPath) {
	l.Mode(at.Child("defaultMode"), mode)
	for i := range items {
		checkKeyToPath(l, at.Child("items").Index(i), &items[i])
	}
}

func checkKeyToPath(l *check.List, at *field.Path, item *corev1.KeyToPath) {
	l.NonEmpty(at.Child("key"), item.Key)
	l.NonEmpty(at.Child("path"), item.Path)
	l.VolumeFile(at.Child("path"), item.Path)
	l.Mode(at.Child("mode"), item.Mode)
}

func checkNFS(l *check.List, at *field.Path, nfs *corev1.NFSVolumeSource) {
	l.NonEmpty(at.Child("server"), nfs.Server)
	l.NonEmpty(at.Child("path"), nfs.Path)
	if !path.IsAbs(nfs.Path) {
		l.Invalid(at.Child("path"), nfs.Path, "must be an absolute path")
	}
}

func checkCSI(l *check.List, at *field.Path, csi *corev1.CSIVolumeSource) {
	CheckDriverName(l, at.Child("driver"), csi.Driver)
	if ref := csi.NodePublishSecretRef; ref != nil {
		if l.NonEmpty(at.Child("nodePublishSecretRef", "name"), ref.Name) {
			l.Subdomain(at.Child("name"), ref.Name)
		}
	}
}

// CheckDriverName requires the name of a CSI driver.
func CheckDriverName(l *check.List, at *field.Path, name string) {
	if !l.NonEmpty(at, name) {
		return
	}
	if len(name) > 63 {
		l.Add(field.TooLong(at, "", 63))
	}
	l.Each(at, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))
}

func checkEphemeral(l *check.List, at *field.Path, v *corev1.Volume, pod *metav1.ObjectMeta) {
	template := v.Ephemeral.VolumeClaimTemplate
	if template == nil {
		l.Required(at.Child("volumeClaimTemplate"), "")
	} else {
		checkTemplateMeta(l, at.Child("volumeClaimTemplate", "metadata"), &template.ObjectMeta)
		CheckClaim(l, at.Child("volumeClaimTemplate", "spec"), &template.Spec)
	}
	if pod == nil || pod.Name == "" || v.Name == "" {
		return
	}
	claim := pod.Name + "-" + v.Name
	for _, m := range apivalidation.NameIsDNSSubdomain(claim, false) {
		l.Invalid(at.Child("name"), v.Name, "PVC name \""+claim+"\": "+m)
	}
}
