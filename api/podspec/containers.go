package podspec

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Container is one container of a pod and where it is.
type Container struct {
	*corev1.Container
	// At is its path below the pod's specification ("spec.initContainers[0]").
	At *field.Path
}

// Containers are all containers of a pod: init, ordinary, ephemeral.
func Containers(spec *corev1.PodSpec) iter.Seq[Container] {
	return ContainersAt(spec, field.NewPath("spec"))
}

// ContainersAt is Containers below another path than "spec".
func ContainersAt(spec *corev1.PodSpec, at *field.Path) iter.Seq[Container] {
	return func(yield func(Container) bool) {
		for i := range spec.InitContainers {
			if !yield(Container{&spec.InitContainers[i], at.Child("initContainers").Index(i)}) {
				return
			}
		}
		for i := range spec.Containers {
			if !yield(Container{&spec.Containers[i], at.Child("containers").Index(i)}) {
				return
			}
		}
		for i := range spec.EphemeralContainers {
			c := (*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)
			if !yield(Container{c, at.Child("ephemeralContainers").Index(i)}) {
				return
			}
		}
	}
}

// IsSidecar says whether an init container runs on beside the ordinary ones.
func IsSidecar(c *corev1.Container) bool {
	return c != nil && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// ShouldRestart says whether a container that ended with code runs again: its own rules first, then its own
// policy, then the pod's.
func ShouldRestart(c *corev1.Container, policy corev1.RestartPolicy, code int32) bool {
	for _, rule := range c.RestartPolicyRules {
		if rule.ExitCodes != nil && matchesCode(rule.ExitCodes, code) {
			return rule.Action == corev1.ContainerRestartRuleActionRestart ||
				rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers
		}
	}
	if c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	return policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && code != 0
}

func matchesCode(codes *corev1.ContainerRestartRuleOnExitCodes, code int32) bool {
	in := slices.Contains(codes.Values, code)
	switch codes.Operator {
	case corev1.ContainerRestartRuleOnExitCodesOpIn:
		return in
	case corev1.ContainerRestartRuleOnExitCodesOpNotIn:
		return !in
	}
	return false
}
