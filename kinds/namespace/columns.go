package namespace

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Column("Status", "The status of the namespace"), table.Age()}
}

func cells(n *corev1.Namespace) []any {
	return []any{string(n.Status.Phase), table.Since(n.CreationTimestamp)}
}
