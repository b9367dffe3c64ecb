package persistentvolumeclaim

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
)

// claimsOf are the claims that a pod names: its own, and those that are made for its ephemeral volumes.
func claimsOf(pod *corev1.Pod) []types.NamespacedName {
	var all []types.NamespacedName
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			all = append(all, types.NamespacedName{Namespace: pod.Namespace, Name: v.PersistentVolumeClaim.ClaimName})
		case v.Ephemeral != nil:
			all = append(all, types.NamespacedName{Namespace: pod.Namespace, Name: ephemeral.VolumeClaimName(pod, v)})
		}
	}
	return all
}

// names says whether a pod names a claim; its ephemeral volumes only where the claim was made for them.
func names(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim, ephemeralToo bool) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim.Name {
			return true
		}
		if ephemeralToo && v.Ephemeral != nil && ephemeral.VolumeClaimName(pod, v) == claim.Name && ephemeral.VolumeIsForPod(pod, claim) == nil {
			return true
		}
	}
	return false
}

// holds says whether a pod keeps a deleted claim: it is on a node, or was, and is still there. A pod that only
// waits for its own finalizers frees the claims made for it, which may be what they wait for.
func holds(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	return pod.Spec.NodeName != "" && names(pod, claim, !shutDown(pod))
}

// uses says whether a pod, wherever it may run, is at work with a claim or will be.
func uses(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	return !ended(pod) && names(pod, claim, true)
}

// shutDown says whether the node is done with a deleted pod.
func shutDown(pod *corev1.Pod) bool {
	grace := pod.DeletionGracePeriodSeconds
	return pod.DeletionTimestamp != nil && grace != nil && *grace == 0
}

// ended says whether no container of the pod will run again.
func ended(pod *corev1.Pod) bool {
	switch pod.Status.Phase {
	case corev1.PodFailed, corev1.PodSucceeded:
		return true
	}
	s := &pod.Status
	return pod.DeletionTimestamp != nil &&
		!running(s.InitContainerStatuses) && !running(s.ContainerStatuses) && !running(s.EphemeralContainerStatuses)
}

func running(containers []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(containers, func(c corev1.ContainerStatus) bool {
		return c.State.Terminated == nil && c.State.Waiting == nil
	})
}

// planUnused is the claim with the condition that says since when no pod uses it; nil if it says so already.
func planUnused(claim *corev1.PersistentVolumeClaim, used bool, now metav1.Time) *corev1.PersistentVolumeClaim {
	want := corev1.PersistentVolumeClaimCondition{
		Type: corev1.PersistentVolumeClaimUnused, Status: corev1.ConditionTrue, LastTransitionTime: now,
		Reason: "NoPodsUsingPVC", Message: "No pods are currently referencing this PVC",
	}
	if used {
		want.Status, want.Reason, want.Message = corev1.ConditionFalse, "PodUsingPVC", "A pod is currently referencing this PVC"
	}
	at := unusedCondition(claim)
	if at >= 0 && (claim.Status.Conditions[at].Status == corev1.ConditionTrue) != used {
		return nil
	}
	claim = claim.DeepCopy()
	if at < 0 {
		claim.Status.Conditions = append(claim.Status.Conditions, want)
	} else {
		claim.Status.Conditions[at] = want
	}
	return claim
}

// unusedCondition is the index of the condition, -1 when there is none.
func unusedCondition(claim *corev1.PersistentVolumeClaim) int {
	return slices.IndexFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimUnused
	})
}
