package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"dhow/controller"
	"dhow/controller/replicas"
)

// Controller keeps the number of a ReplicaSet's pods.
func Controller() controller.Controller {
	return replicas.Source[*appsv1.ReplicaSet]{
		Name: "replicaset-controller",
		Kind: appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), Resource: "replicasets", Example: &appsv1.ReplicaSet{},
		Informer: func(f informers.SharedInformerFactory) cache.SharedIndexInformer {
			return f.Apps().V1().ReplicaSets().Informer()
		},
		AsSet: func(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet { return rs },
		Live: func(ctx context.Context, client kubernetes.Interface, namespace, name string) (metav1.Object, error) {
			return client.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{})
		},
		WriteStatus: func(ctx context.Context, client kubernetes.Interface, rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
			if apiequality.Semantic.DeepEqual(rs.Status, status) {
				return nil
			}
			next := *rs
			next.Status = status
			_, err := client.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, &next, metav1.UpdateOptions{})
			return err
		},
	}.Controller()
}
