package replicas

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"dhow/api/table"
)

// change is how many pods are missing, or which are too many.
type change struct {
	create int
	remove []*corev1.Pod
}

// mostAtOnce bounds one pass.
const mostAtOnce = 500

// plan compares the pods of a set with the number it asks for. related are the pods that are looked at for where there
// are several on a node.
func plan(rs *appsv1.ReplicaSet, pods, related []*corev1.Pod, now time.Time) change {
	active := activeOf(pods)
	missing := int(table.Value(rs.Spec.Replicas)) - len(active)
	switch {
	case missing >= 0:
		return change{create: min(missing, mostAtOnce)}
	case missing == -len(active):
		return change{remove: active[:min(-missing, mostAtOnce)]} // all go, in any order
	}
	return change{remove: rank(active, related, now)[:min(-missing, mostAtOnce)]}
}

// activeOf leaves out what has ended or is going.
func activeOf(pods []*corev1.Pod) []*corev1.Pod {
	active := make([]*corev1.Pod, 0, len(pods))
	for _, p := range pods {
		if p.DeletionTimestamp == nil && !hasEnded(p) {
			active = append(active, p)
		}
	}
	return active
}

func hasEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func isTerminating(p *corev1.Pod) bool { return p.DeletionTimestamp != nil && !hasEnded(p) }

// newPod is one of the set's, from its template.
func newPod(rs *appsv1.ReplicaSet, kind schema.GroupVersionKind) *corev1.Pod {
	template := rs.Spec.Template.DeepCopy()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: rs.Name + "-", Namespace: rs.Namespace, Labels: template.Labels, Annotations: template.Annotations,
			Finalizers: template.Finalizers, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, kind)},
		},
		Spec: template.Spec,
	}
}
