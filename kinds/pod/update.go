package pod

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/podspec"
)

const updatable = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`," +
	"`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

func validateUpdate(_ context.Context, pod, old *corev1.Pod) field.ErrorList {
	var l check.List
	l.Add(validateBoth(pod)...)
	l.Add(annotationUpdates(pod, old)...)
	if !sameContainers(&l, pod, old) {
		return l.Errors()
	}
	deadline(&l, pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds)
	addedTolerations(&l, pod.Spec.Tolerations, old.Spec.Tolerations)
	newGates(&l, pod.Spec.SchedulingGates, old.Spec.SchedulingGates)
	if equality.Semantic.DeepEqual(pod.Spec, old.Spec) {
		return l.Errors()
	}
	rest := pod.Spec.DeepCopy()
	revertUpdatable(rest, &old.Spec)
	if len(old.Spec.SchedulingGates) > 0 {
		revertPlacement(&l, rest, &old.Spec)
	}
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		l.Forbidden(spec, fmt.Sprintf("pod updates may not change fields other than %s\n%v", updatable, diff.Diff(old.Spec, *rest)))
	}
	return l.Errors()
}

func sameContainers(l *check.List, pod, old *corev1.Pod) bool {
	for _, list := range []struct {
		name     string
		now, old []corev1.Container
	}{
		{"containers", pod.Spec.Containers, old.Spec.Containers},
		{"initContainers", pod.Spec.InitContainers, old.Spec.InitContainers},
	} {
		if len(list.now) != len(list.old) {
			l.Forbidden(spec.Child(list.name), "pod updates may not add or remove containers")
			return false
		}
	}
	return true
}

// revertUpdatable undoes in now all that an update may do.
func revertUpdatable(now, old *corev1.PodSpec) {
	for i := range now.Containers {
		now.Containers[i].Image = old.Containers[i].Image
	}
	for i := range now.InitContainers {
		now.InitContainers[i].Image = old.InitContainers[i].Image
	}
	now.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	now.SchedulingGates = old.SchedulingGates
	now.Tolerations = old.Tolerations
	was, is := old.TerminationGracePeriodSeconds, now.TerminationGracePeriodSeconds
	if was != nil && *was < 0 && is != nil && *is == 1 {
		now.TerminationGracePeriodSeconds = was
	}
}

func addedTolerations(l *check.List, now, old []corev1.Toleration) {
	for i := range old {
		if !hasToleration(now, old[i]) {
			l.Forbidden(spec.Child("tolerations"), "existing toleration can not be modified except its tolerationSeconds")
			return
		}
	}
}

func hasToleration(list []corev1.Toleration, t corev1.Toleration) bool {
	for i := range list {
		t.TolerationSeconds = list[i].TolerationSeconds
		if reflect.DeepEqual(t, list[i]) {
			return true
		}
	}
	return false
}

// revertPlacement checks and undoes what may change while a pod waits at its gates: node selectors and node
// affinity may become narrower.
func revertPlacement(l *check.List, now, old *corev1.PodSpec) {
	for key, value := range old.NodeSelector {
		if v, kept := now.NodeSelector[key]; !kept || v != value {
			l.Invalid(spec.Child("nodeSelector"), now.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)")
			break
		}
	}
	now.NodeSelector = old.NodeSelector
	oldAffinity, newAffinity := nodeAffinity(old), nodeAffinity(now)
	if equality.Semantic.DeepEqual(oldAffinity, newAffinity) {
		return
	}
	narrower(l, newAffinity, oldAffinity)
	switch {
	case now.Affinity == nil:
		now.Affinity = &corev1.Affinity{NodeAffinity: oldAffinity}
	case old.Affinity == nil && now.Affinity.PodAffinity == nil && now.Affinity.PodAntiAffinity == nil:
		now.Affinity = nil
	default:
		now.Affinity.NodeAffinity = oldAffinity
	}
}

func nodeAffinity(s *corev1.PodSpec) *corev1.NodeAffinity {
	if s.Affinity == nil {
		return nil
	}
	return s.Affinity.NodeAffinity
}

func requiredTerms(a *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
	if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

func narrower(l *check.List, now, old *corev1.NodeAffinity) {
	at := spec.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	before, after := requiredTerms(old), requiredTerms(now)
	if len(before) > 0 && len(before) != len(after) {
		l.Invalid(at, after, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
		return
	}
	for i := range before {
		b, a := before[i], after[i]
		empty := len(b.MatchExpressions)+len(b.MatchFields) == 0
		grew := len(a.MatchExpressions)+len(a.MatchFields) > 0
		if empty && grew || !startsWith(a.MatchExpressions, b.MatchExpressions) || !startsWith(a.MatchFields, b.MatchFields) {
			l.Invalid(at.Index(i), a, "only additions are allowed (no mutations or deletions)")
		}
	}
}

func startsWith(list, prefix []corev1.NodeSelectorRequirement) bool {
	return len(list) >= len(prefix) && (len(prefix) == 0 || equality.Semantic.DeepEqual(list[:len(prefix)], prefix))
}

// validateEphemeral: debugging containers can be added only.
func validateEphemeral(pod, old *corev1.Pod) field.ErrorList {
	var l check.List
	if _, static := old.Annotations[corev1.MirrorPodAnnotationKey]; static {
		l.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")
		return l.Errors()
	}
	l.Add(validateBoth(pod)...)
	l.Add(annotationUpdates(pod, old)...)
	at, now := spec.Child("ephemeralContainers"), map[string]*corev1.EphemeralContainer{}
	for i := range pod.Spec.EphemeralContainers {
		now[pod.Spec.EphemeralContainers[i].Name] = &pod.Spec.EphemeralContainers[i]
	}
	for _, was := range old.Spec.EphemeralContainers {
		switch is, kept := now[was.Name]; {
		case !kept:
			l.Forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", was.Name))
		case !equality.Semantic.DeepEqual(was, *is):
			l.Forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", was.Name, diff.Diff(was, *is)))
		}
	}
	return l.Errors()
}

// validateResize: a resize changes amounts of cpu and memory, and how containers take it; nothing else.
func validateResize(pod, old *corev1.Pod) field.ErrorList {
	var l check.List
	if _, static := old.Annotations[corev1.MirrorPodAnnotationKey]; static {
		l.Forbidden(field.NewPath(""), "static pods cannot be resized")
		return l.Errors()
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		l.Forbidden(field.NewPath(""), "windows pods cannot be resized")
		return l.Errors()
	}
	l.Add(validateBoth(pod)...)
	if class := podspec.QOSClass(pod); class != old.Status.QOSClass && old.Status.QOSClass != "" {
		l.Invalid(spec, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing")
	}
	if !resizable(old) {
		l.Forbidden(spec, "Pod running on node without support for resize")
	}
	if !sameOrder(&l, "containers", pod.Spec.Containers, old.Spec.Containers) ||
		!sameOrder(&l, "initContainers", pod.Spec.InitContainers, old.Spec.InitContainers) {
		return l.Errors()
	}
	resizeChanges(&l, pod, old)
	return l.Errors()
}

// resizable: a node that can resize reports what its containers have.
func resizable(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running != nil {
			return s.Resources != nil
		}
	}
	return true
}

func sameOrder(l *check.List, name string, now, old []corev1.Container) bool {
	at := spec.Child(name)
	if len(now) != len(old) {
		l.Forbidden(at, name+" may not be added or removed on resize")
		return false
	}
	same := true
	for i := range old {
		if now[i].Name != old[i].Name {
			l.Forbidden(at.Index(i).Child("name"), name+" may not be renamed or reordered on resize")
			same = false
		}
	}
	return same
}

func resizeChanges(l *check.List, pod, old *corev1.Pod) {
	rest := pod.Spec.DeepCopy()
	for i := range rest.InitContainers {
		now, was, at := &rest.InitContainers[i], &old.Spec.InitContainers[i], spec.Child("initContainers").Index(i)
		if !podspec.IsSidecar(was) {
			if !equality.Semantic.DeepEqual(*now, *was) {
				l.Forbidden(spec, "resources for non-sidecar init containers are immutable")
				*now = *was
			}
			continue
		}
		keepsResources(l, at.Child("resources"), "resource", &now.Resources, &was.Resources)
		revertCompute(&now.Resources, &was.Resources)
	}
	for i := range rest.Containers {
		now, was := &rest.Containers[i], &old.Spec.Containers[i]
		keepsResources(l, spec.Child("containers").Index(i).Child("resources"), "resource", &now.Resources, &was.Resources)
		revertCompute(&now.Resources, &was.Resources)
	}
	podResources(l, rest, &old.Spec)
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		l.Forbidden(spec, "only cpu and memory resources are mutable")
	}
}

func podResources(l *check.List, now, old *corev1.PodSpec) {
	switch {
	case old.Resources != nil && now.Resources == nil:
		l.Forbidden(spec.Child("resources"), "pod-level resources cannot be removed")
		now.Resources = old.Resources
	case old.Resources != nil:
		keepsResources(l, spec.Child("resources"), "pod-level resource", now.Resources, old.Resources)
		revertCompute(now.Resources, old.Resources)
	case now.Resources != nil:
		revertCompute(now.Resources, &corev1.ResourceRequirements{})
		if len(now.Resources.Requests)+len(now.Resources.Limits)+len(now.Resources.Claims) == 0 {
			now.Resources = nil
		}
	}
}

func keepsResources(l *check.List, at *field.Path, what string, now, old *corev1.ResourceRequirements) {
	removed := func(now, old corev1.ResourceList) bool {
		for name := range old {
			if _, kept := now[name]; !kept {
				return true
			}
		}
		return false
	}
	if removed(now.Requests, old.Requests) {
		l.Forbidden(at.Child("requests"), what+" requests cannot be removed")
	}
	if removed(now.Limits, old.Limits) {
		l.Forbidden(at.Child("limits"), what+" limits cannot be removed")
	}
}

// revertCompute undoes changes of cpu and memory.
func revertCompute(now, old *corev1.ResourceRequirements) {
	revert := func(now, old corev1.ResourceList) corev1.ResourceList {
		list := now.DeepCopy()
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			delete(list, name)
			if amount, had := old[name]; had {
				if list == nil {
					list = corev1.ResourceList{}
				}
				list[name] = amount
			}
		}
		return list
	}
	now.Requests, now.Limits = revert(now.Requests, old.Requests), revert(now.Limits, old.Limits)
}
