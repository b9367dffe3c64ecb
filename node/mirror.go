package node

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// writeMirror writes a static pod's status to the pod that stands for it in the API, which it makes where needed.
func (w *worker) writeMirror(ctx context.Context, pod *corev1.Pod, status *corev1.PodStatus) (*corev1.Pod, error) {
	pods := w.node.config.Client.CoreV1().Pods(pod.Namespace)
	mirror, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
	if err == nil && mirror.Annotations[corev1.MirrorPodAnnotationKey] != string(w.uid) {
		if !isMirror(mirror) { // someone's pod has the name; the static pod runs without being seen
			return &corev1.Pod{Status: *status}, nil
		}
		if err := w.deleteMirror(ctx, mirror); err != nil {
			return nil, err
		}
		err = apierrors.NewNotFound(corev1.Resource("pods"), pod.Name)
	}
	if apierrors.IsNotFound(err) {
		if pod.DeletionTimestamp != nil {
			return &corev1.Pod{Status: *status}, nil
		}
		mirror, err = pods.Create(ctx, w.mirror(pod), metav1.CreateOptions{})
	}
	if err != nil {
		return nil, err
	}
	mirror.Status = *status
	if _, err := pods.UpdateStatus(ctx, mirror, metav1.UpdateOptions{}); err != nil {
		return nil, err
	}
	return &corev1.Pod{Status: *status}, nil
}

// mirror is what the API shows of a static pod. It belongs to the node.
func (w *worker) mirror(pod *corev1.Pod) *corev1.Pod {
	m := pod.DeepCopy()
	m.UID, m.ResourceVersion, m.Status = "", "", corev1.PodStatus{}
	metav1.SetMetaDataAnnotation(&m.ObjectMeta, corev1.MirrorPodAnnotationKey, string(w.uid))
	if node, err := w.node.nodes.Get(w.node.config.Name); err == nil {
		yes := true
		m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &yes}}
	}
	return m
}

func (w *worker) deleteMirror(ctx context.Context, mirror *corev1.Pod) error {
	now := int64(0)
	err := w.node.config.Client.CoreV1().Pods(mirror.Namespace).Delete(ctx, mirror.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &mirror.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// endMirror removes the mirror of a static pod that has ended, and then the pod.
func (w *worker) endMirror(ctx context.Context, pod *corev1.Pod) error {
	mirror, err := w.node.config.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err): // a node is told of its own pods only
	case err != nil:
		return err
	case mirror.Annotations[corev1.MirrorPodAnnotationKey] == string(w.uid):
		if err := w.deleteMirror(ctx, mirror); err != nil {
			return err
		}
	}
	w.remove()
	return nil
}
