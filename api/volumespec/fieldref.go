package volumespec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// checkFile checks one file of a downward API volume. Upstream names no index here.
func checkFile(l *check.List, at *field.Path, file *corev1.DownwardAPIVolumeFile) {
	l.NonEmpty(at.Child("path"), file.Path)
	l.VolumeFile(at.Child("path"), file.Path)
	switch {
	case file.FieldRef != nil:
		CheckFieldRef(l, at.Child("fieldRef"), file.FieldRef, fileFields)
		if file.ResourceFieldRef != nil {
			l.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
		}
	case file.ResourceFieldRef != nil:
		CheckResourceRef(l, at.Child("resourceFieldRef"), file.ResourceFieldRef, true)
	default:
		l.Required(at, "one of fieldRef and resourceFieldRef is required")
	}
	l.Mode(at.Child("mode"), file.Mode)
}

// fileFields are the fields that a file may show; EnvFields those that a variable may.
var fileFields = []string{
	"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
}

// EnvFields are the fields of a pod that an environment variable may show.
var EnvFields = []string{
	"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
	"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
}

// knownFields are all fields that a reference may name at all.
var knownFields = append([]string{
	"metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase",
}, EnvFields...)

// CheckFieldRef checks a reference to a field of the pod among allowed, or to one label or annotation.
func CheckFieldRef(l *check.List, at *field.Path, ref *corev1.ObjectFieldSelector, allowed []string) {
	if !l.NonEmpty(at.Child("apiVersion"), ref.APIVersion) || !l.NonEmpty(at.Child("fieldPath"), ref.FieldPath) {
		return
	}
	if ref.APIVersion != "v1" {
		l.Invalid(at.Child("fieldPath"), ref.FieldPath, "error converting fieldPath: unsupported pod version: "+ref.APIVersion)
		return
	}
	file, key, subscripted := subscript(ref.FieldPath)
	switch {
	case subscripted && file == "metadata.annotations":
		l.Qualified(at, strings.ToLower(key))
	case subscripted && file == "metadata.labels":
		l.Qualified(at, key)
	case subscripted:
		l.Invalid(at.Child("fieldPath"), ref.FieldPath, "error converting fieldPath: field label does not support subscript: "+ref.FieldPath)
	case ref.FieldPath == "spec.host": // an old name of spec.nodeName
	case !slices.Contains(knownFields, ref.FieldPath):
		l.Invalid(at.Child("fieldPath"), ref.FieldPath, "error converting fieldPath: field label not supported: "+ref.FieldPath)
	default:
		check.Known(l, at.Child("fieldPath"), ref.FieldPath, allowed...)
	}
}

// subscript splits "metadata.labels['app']".
func subscript(fieldPath string) (path, key string, ok bool) {
	head, tail, found := strings.Cut(fieldPath, "['")
	key, closed := strings.CutSuffix(tail, "']")
	if !found || !closed || head == "" {
		return fieldPath, "", false
	}
	return head, key, true
}

var resourceFields = []string{
	"limits.cpu", "limits.memory", "limits.ephemeral-storage",
	"requests.cpu", "requests.memory", "requests.ephemeral-storage",
}

var byteDivisors = []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}

// CheckResourceRef checks a reference to an amount of a container's resources; a volume must name the container.
func CheckResourceRef(l *check.List, at *field.Path, ref *corev1.ResourceFieldSelector, volume bool) {
	switch {
	case volume && ref.ContainerName == "":
		l.Required(at.Child("containerName"), "")
	case ref.Resource == "":
		l.Required(at.Child("resource"), "")
	case !strings.HasPrefix(ref.Resource, "requests.hugepages-") && !strings.HasPrefix(ref.Resource, "limits.hugepages-"):
		check.Known(l, at.Child("resource"), ref.Resource, resourceFields...)
	}
	if !ref.Divisor.IsZero() {
		checkDivisor(l, at.Child("divisor"), ref.Resource, ref.Divisor.String())
	}
}

func checkDivisor(l *check.List, at *field.Path, resource, divisor string) {
	_, kind, _ := strings.Cut(resource, ".")
	words := map[string]string{"memory": "memory", "ephemeral-storage": "local ephemeral storage"}[kind]
	if strings.HasPrefix(kind, "hugepages-") {
		words = "hugepages"
	}
	switch {
	case kind == "cpu":
		if divisor != "1" && divisor != "1m" {
			l.Invalid(at, resource, "only divisor's values 1m and 1 are supported with the cpu resource")
		}
	case words != "" && !slices.Contains(byteDivisors, divisor):
		l.Invalid(at, resource, "only divisor's values "+strings.Join(byteDivisors, ", ")+" are supported with the "+words+" resource")
	}
}
