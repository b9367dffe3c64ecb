package serviceaccount

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Age()}
}

func cells(a *corev1.ServiceAccount) []any { return []any{table.Since(a.CreationTimestamp)} }
