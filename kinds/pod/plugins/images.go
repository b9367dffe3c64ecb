// Package plugins has admission plug-ins for pods: those that are off by default, and those that look at nodes.
package plugins

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/admit"
)

// AlwaysPullImages makes pods pull their images at each start, so that nobody runs an image for having it on the node
// who could not pull it.
func AlwaysPullImages() admission.Interface {
	return pullAlways{admission.NewHandler(admission.Create, admission.Update)}
}

type pullAlways struct{ *admission.Handler }

var (
	_ admission.MutationInterface   = pullAlways{}
	_ admission.ValidationInterface = pullAlways{}
)

// Admit sets the policy of all containers and image volumes.
func (pullAlways) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := withNewImages(a)
	if !ok {
		return nil
	}
	for _, p := range policies(pod) {
		*p.policy = corev1.PullAlways
	}
	return nil
}

// Validate refuses what another plug-in has changed back.
func (pullAlways) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := withNewImages(a)
	if !ok {
		return nil
	}
	var errs []error
	for _, p := range policies(pod) {
		if *p.policy != corev1.PullAlways {
			errs = append(errs, admission.NewForbidden(a, field.NotSupported(p.at, *p.policy, []string{string(corev1.PullAlways)})))
		}
	}
	return utilerrors.NewAggregate(errs)
}

// withNewImages is the pod of a request, unless it is an update that brings no new image.
func withNewImages(a admission.Attributes) (*corev1.Pod, bool) {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok || a.GetOperation() != admission.Update {
		return pod, ok
	}
	old, ok := a.GetOldObject().(*corev1.Pod)
	if !ok {
		return pod, true
	}
	before := images(old)
	for _, image := range images(pod) {
		if !slices.Contains(before, image) {
			return pod, true
		}
	}
	return pod, false
}

func images(pod *corev1.Pod) []string {
	var all []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			all = append(all, c.Image)
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		all = append(all, c.Image)
	}
	return all
}

// pullPolicy is one of a pod's policies and where it stands.
type pullPolicy struct {
	at     *field.Path
	policy *corev1.PullPolicy
}

func policies(pod *corev1.Pod) []pullPolicy {
	var all []pullPolicy
	spec, at := &pod.Spec, field.NewPath("spec")
	add := func(at *field.Path, policy *corev1.PullPolicy) { all = append(all, pullPolicy{at, policy}) }
	for i := range spec.InitContainers {
		add(at.Child("initContainers").Index(i).Child("imagePullPolicy"), &spec.InitContainers[i].ImagePullPolicy)
	}
	for i := range spec.Containers {
		add(at.Child("containers").Index(i).Child("imagePullPolicy"), &spec.Containers[i].ImagePullPolicy)
	}
	for i := range spec.EphemeralContainers {
		add(at.Child("ephemeralContainers").Index(i).Child("imagePullPolicy"), &spec.EphemeralContainers[i].ImagePullPolicy)
	}
	for i := range spec.Volumes {
		if image := spec.Volumes[i].Image; image != nil {
			add(at.Child("volumes").Index(i).Child("image", "pullPolicy"), &image.PullPolicy)
		}
	}
	return all
}
