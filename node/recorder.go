package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"dhow/internal/eventlog"
)

// recorder writes events about pods.
type recorder struct{ *eventlog.Recorder }

// pod records an event about a pod, or about one of its containers where container is its name.
func (r recorder) pod(pod *corev1.Pod, container, kind, reason, format string, args ...any) {
	ref := corev1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
	}
	if container != "" {
		ref.FieldPath = fmt.Sprintf("spec.containers{%s}", container)
	}
	r.Record(ref, kind, reason, fmt.Sprintf(format, args...))
}
