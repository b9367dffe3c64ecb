package pod

import (
	"context"
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/podspec"
)

var (
	metadata = field.NewPath("metadata")
	spec     = field.NewPath("spec")
)

func validate(_ context.Context, pod *corev1.Pod) field.ErrorList {
	var l check.List
	l.Add(validateBoth(pod)...)
	if len(pod.Spec.EphemeralContainers) > 0 {
		l.Forbidden(spec.Child("ephemeralContainers"), "cannot be set on create")
	}
	if pod.Spec.NodeName != "" && len(pod.Spec.SchedulingGates) > 0 {
		l.Forbidden(spec.Child("nodeName"), "cannot be set until all schedulingGates have been cleared")
	}
	l.Add(podspec.ValidateAnnotatedProfiles(pod.Annotations, &pod.Spec, spec)...)
	return l.Errors()
}

// validateBoth checks what holds on create and on update.
func validateBoth(pod *corev1.Pod) field.ErrorList {
	var l check.List
	l.Add(podspec.ValidateAnnotations(pod.Annotations, &pod.Spec, metadata.Child("annotations"))...)
	l.Add(podspec.Validate(&pod.Spec, &pod.ObjectMeta, spec)...)
	if pod.Spec.ServiceAccountName == "" {
		tokensNeedAccount(&l, pod.Spec.Volumes)
	}
	for _, list := range []struct {
		name       string
		containers []corev1.Container
	}{{"containers", pod.Spec.Containers}, {"initContainers", pod.Spec.InitContainers}} {
		for i := range list.containers {
			unpadded(&l, spec.Child(list.name).Index(i), list.containers[i].Image)
		}
	}
	return l.Errors()
}

func unpadded(l *check.List, at *field.Path, image string) {
	if strings.TrimSpace(image) != image {
		l.Invalid(at.Child("image"), image, "must not have leading or trailing whitespace")
	}
}

func tokensNeedAccount(l *check.List, volumes []corev1.Volume) {
	for i := range volumes {
		if volumes[i].Projected == nil {
			continue
		}
		for j, source := range volumes[i].Projected.Sources {
			if source.ServiceAccountToken != nil {
				l.Forbidden(spec.Child("volumes").Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken"),
					"must not be specified when serviceAccountName is not set")
			}
		}
	}
}

// annotationUpdates: what makes a pod a mirror, and its AppArmor profiles, stay.
func annotationUpdates(pod, old *corev1.Pod) field.ErrorList {
	var l check.List
	at := metadata.Child("annotations")
	what := func(key string) string {
		switch {
		case strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix):
			return "AppArmor annotations"
		case key == corev1.MirrorPodAnnotationKey:
			return "mirror pod annotation"
		}
		return ""
	}
	for key, before := range old.Annotations {
		if now, kept := pod.Annotations[key]; what(key) != "" && (!kept || now != before) {
			l.Forbidden(at.Key(key), "may not remove or update "+what(key))
		}
	}
	for key := range pod.Annotations {
		if _, there := old.Annotations[key]; what(key) != "" && !there {
			l.Forbidden(at.Key(key), "may not add "+what(key))
		}
	}
	l.Add(podspec.ValidateAnnotations(pod.Annotations, &pod.Spec, at)...)
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, pod, old *corev1.Pod) field.ErrorList {
	var l check.List
	l.Add(annotationUpdates(pod, old)...)
	at, now := field.NewPath("status"), &pod.Status
	conditions(&l, at.Child("conditions"), now.Conditions)
	if pod.Spec.NodeName != old.Spec.NodeName {
		l.Forbidden(at.Child("nodeName"), "may not be changed directly")
	}
	if name := now.NominatedNodeName; name != "" && name != old.Status.NominatedNodeName {
		l.Subdomain(at.Child("nominatedNodeName"), name)
		if old.Spec.NodeName != "" {
			l.Forbidden(at.Child("nominatedNodeName"), "may not be set on pods that are already bound to a node")
		}
	}
	if now.ObservedGeneration < 0 {
		l.Invalid(at.Child("observedGeneration"), now.ObservedGeneration, "must be a non-negative integer")
	}
	l.Immutable(at.Child("qosClass"), now.QOSClass, old.Status.QOSClass)
	transitions(&l, at.Child("containerStatuses"), now.ContainerStatuses, old.Status.ContainerStatuses, &old.Spec, old.Spec.Containers)
	transitions(&l, at.Child("initContainerStatuses"), now.InitContainerStatuses, old.Status.InitContainerStatuses, &old.Spec, old.Spec.InitContainers)
	transitions(&l, at.Child("ephemeralContainerStatuses"), now.EphemeralContainerStatuses, old.Status.EphemeralContainerStatuses, &old.Spec, nil)
	addresses(&l, at, now, &old.Status)
	claimStatuses(&l, at.Child("resourceClaimStatuses"), now.ResourceClaimStatuses, pod.Spec.ResourceClaims)
	return l.Errors()
}

func conditions(l *check.List, at *field.Path, list []corev1.PodCondition) {
	for i, c := range list {
		if c.ObservedGeneration < 0 {
			l.Invalid(at.Index(i).Child("observedGeneration"), c.ObservedGeneration, "must be a non-negative integer")
		}
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized:
		default:
			l.Qualified(at.Index(i).Child("Type"), string(c.Type))
		}
	}
}

// transitions: a container that has ended for good does not come back.
func transitions(l *check.List, at *field.Path, now, old []corev1.ContainerStatus, s *corev1.PodSpec, containers []corev1.Container) {
	running := map[string]bool{}
	for i := range now {
		running[now[i].Name] = now[i].State.Terminated == nil
	}
	for i := range old {
		ended := old[i].State.Terminated
		if ended != nil && running[old[i].Name] && !mayRestart(old[i].Name, ended.ExitCode, s, containers) {
			l.Forbidden(at.Index(i).Child("state"), "may not be transitioned to non-terminated state")
		}
	}
}

// mayRestart says whether the named container may run again after code; ephemeral ones are in no list.
func mayRestart(name string, code int32, s *corev1.PodSpec, containers []corev1.Container) bool {
	for i := range containers {
		if containers[i].Name == name {
			return restartsAll(s) || podspec.ShouldRestart(&containers[i], s.RestartPolicy, code)
		}
	}
	return false
}

// restartsAll says whether some container, when it ends, restarts the whole pod.
func restartsAll(s *corev1.PodSpec) bool {
	for c := range podspec.Containers(s) {
		for _, rule := range c.RestartPolicyRules {
			if rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
				return true
			}
		}
	}
	return false
}

func addresses(l *check.List, at *field.Path, now, old *corev1.PodStatus) {
	var known, ips []string
	for _, ip := range old.PodIPs {
		known = append(known, ip.IP)
	}
	for i, ip := range now.PodIPs {
		l.IP(at.Child("podIPs").Index(i), ip.IP, known...)
		ips = append(ips, ip.IP)
	}
	l.OnePerFamily(at.Child("podIPs"), now.PodIPs, ips)
	if len(now.HostIPs) == 0 {
		return
	}
	if now.HostIP != now.HostIPs[0].IP {
		l.Invalid(at.Child("hostIPs").Index(0).Child("ip"), now.HostIPs[0].IP, "must be equal to `hostIP`")
	}
	known, ips = nil, nil
	for _, ip := range old.HostIPs {
		known = append(known, ip.IP)
	}
	for i, ip := range now.HostIPs {
		l.IP(at.Child("hostIPs").Index(i), ip.IP, known...)
		ips = append(ips, ip.IP)
	}
	l.OnePerFamily(at.Child("hostIPs"), now.HostIPs, ips)
}

func claimStatuses(l *check.List, at *field.Path, statuses []corev1.PodResourceClaimStatus, claims []corev1.PodResourceClaim) {
	known, seen := map[string]bool{}, map[string]bool{}
	for _, c := range claims {
		known[c.Name] = true
	}
	for i, s := range statuses {
		if !known[s.Name] {
			l.Invalid(at.Index(i).Child("name"), s.Name, "must match the name of an entry in `spec.resourceClaims`")
		}
		if seen[s.Name] {
			l.Duplicate(at.Index(i).Child("name"), s.Name)
		}
		seen[s.Name] = true
		if s.ResourceClaimName != nil {
			l.Subdomain(at.Index(i).Child("resourceClaimName"), *s.ResourceClaimName)
		}
	}
}

// deadline: a pod's deadline may come, or come nearer.
func deadline(l *check.List, now, old *int64) {
	at := spec.Child("activeDeadlineSeconds")
	switch {
	case now == nil && old != nil:
		l.Invalid(at, now, "must not update from a positive integer to nil value")
	case now == nil:
	case *now < 0 || *now > math.MaxInt32:
		l.Invalid(at, *now, validation.InclusiveRangeError(0, math.MaxInt32))
	case old != nil && *old < *now:
		l.Invalid(at, *now, "must be less than or equal to previous value")
	}
}

// newGates: gates can be cleared only.
func newGates(l *check.List, now, old []corev1.PodSchedulingGate) {
	before := map[string]bool{}
	for _, g := range old {
		before[g.Name] = true
	}
	for i, g := range now {
		if !before[g.Name] {
			l.Forbidden(spec.Child("schedulingGates").Index(i).Child("name"),
				fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name))
		}
	}
}
