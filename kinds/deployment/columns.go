package deployment

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	return append([]metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Ready", "Number of the pod with ready state"),
		table.Number("Up-to-date", appsv1.DeploymentStatus{}.SwaggerDoc()["updatedReplicas"]),
		table.Number("Available", appsv1.DeploymentStatus{}.SwaggerDoc()["availableReplicas"]),
		table.Age(),
	}, append(table.TemplateColumns(), table.Wide("Selector", appsv1.DeploymentSpec{}.SwaggerDoc()["selector"]))...)
}

func cells(d *appsv1.Deployment) []any {
	names, images := table.Template(&d.Spec.Template)
	selector := "<invalid>"
	if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil {
		selector = s.String()
	}
	return []any{
		fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, table.Value(d.Spec.Replicas)),
		int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), table.Since(d.CreationTimestamp),
		names, images, selector,
	}
}
