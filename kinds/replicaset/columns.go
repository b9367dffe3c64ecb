package replicaset

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	return append([]metav1.TableColumnDefinition{
		table.Name(),
		table.Number("Desired", appsv1.ReplicaSetSpec{}.SwaggerDoc()["replicas"]),
		table.Number("Current", appsv1.ReplicaSetStatus{}.SwaggerDoc()["replicas"]),
		table.Number("Ready", appsv1.ReplicaSetStatus{}.SwaggerDoc()["readyReplicas"]),
		table.Age(),
	}, append(table.TemplateColumns(), table.Wide("Selector", appsv1.ReplicaSetSpec{}.SwaggerDoc()["selector"]))...)
}

func cells(r *appsv1.ReplicaSet) []any {
	names, images := table.Template(&r.Spec.Template)
	return []any{
		int64(table.Value(r.Spec.Replicas)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
		table.Since(r.CreationTimestamp), names, images, metav1.FormatLabelSelector(r.Spec.Selector),
	}
}
