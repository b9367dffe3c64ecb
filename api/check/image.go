package check

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// DefaultPullPolicy is Always for the tag "latest", named or implied, else IfNotPresent.
func DefaultPullPolicy(image string) corev1.PullPolicy {
	name, _, pinned := strings.Cut(image, "@")
	_, tag, tagged := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if tag == "latest" || image != "" && !tagged && !pinned {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// PullPolicies are all that there are.
var PullPolicies = []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}
