package node

import corev1 "k8s.io/api/core/v1"

// isMirror: the pod stands in the API for one that a manifest on the node made.
func isMirror(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror
}
