package podspec

import (
	"iter"

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
