package replicationcontroller

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"dhow/controller"
	"dhow/controller/replicas"
)

// Controller keeps the number of a ReplicationController's pods.
func Controller() controller.Controller {
	return replicas.Source[*corev1.ReplicationController]{
		Name: "replication-controller",
		Kind: corev1.SchemeGroupVersion.WithKind("ReplicationController"), Resource: "replicationcontrollers",
		Example: &corev1.ReplicationController{},
		Informer: func(f informers.SharedInformerFactory) cache.SharedIndexInformer {
			return f.Core().V1().ReplicationControllers().Informer()
		},
		AsSet: asSet,
		Live: func(ctx context.Context, client kubernetes.Interface, namespace, name string) (metav1.Object, error) {
			return client.CoreV1().ReplicationControllers(namespace).Get(ctx, name, metav1.GetOptions{})
		},
		WriteStatus: func(ctx context.Context, client kubernetes.Interface, r *corev1.ReplicationController, status appsv1.ReplicaSetStatus) error {
			next := *r
			next.Status = fromSet(status)
			if apiequality.Semantic.DeepEqual(r.Status, next.Status) {
				return nil
			}
			_, err := client.CoreV1().ReplicationControllers(r.Namespace).UpdateStatus(ctx, &next, metav1.UpdateOptions{})
			return err
		},
	}.Controller()
}

// asSet shows a ReplicationController as a ReplicaSet. It shares all below.
func asSet(r *corev1.ReplicationController) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{
		ObjectMeta: r.ObjectMeta,
		Spec: appsv1.ReplicaSetSpec{
			Replicas: r.Spec.Replicas, MinReadySeconds: r.Spec.MinReadySeconds,
			Selector: &metav1.LabelSelector{MatchLabels: r.Spec.Selector},
		},
		Status: appsv1.ReplicaSetStatus{
			Replicas: r.Status.Replicas, FullyLabeledReplicas: r.Status.FullyLabeledReplicas, ReadyReplicas: r.Status.ReadyReplicas,
			AvailableReplicas: r.Status.AvailableReplicas, ObservedGeneration: r.Status.ObservedGeneration,
		},
	}
	if r.Spec.Template != nil {
		rs.Spec.Template = *r.Spec.Template
	}
	for _, c := range r.Status.Conditions {
		rs.Status.Conditions = append(rs.Status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return rs
}

func fromSet(s appsv1.ReplicaSetStatus) corev1.ReplicationControllerStatus {
	status := corev1.ReplicationControllerStatus{
		Replicas: s.Replicas, FullyLabeledReplicas: s.FullyLabeledReplicas, ReadyReplicas: s.ReadyReplicas,
		AvailableReplicas: s.AvailableReplicas, ObservedGeneration: s.ObservedGeneration,
	}
	for _, c := range s.Conditions {
		status.Conditions = append(status.Conditions, corev1.ReplicationControllerCondition{
			Type: corev1.ReplicationControllerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return status
}
