package resourcequota

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"dhow/api/quantity"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines ResourceQuotas.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.ResourceQuota, *corev1.ResourceQuotaList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "ResourceQuota", Resource: "resourcequotas", ShortNames: []string{"quota"}},
		apiserver.Rules[*corev1.ResourceQuota]{
			Default: func(q *corev1.ResourceQuota) {
				quantity.Round(q.Spec.Hard)
				quantity.Round(q.Status.Hard)
				quantity.Round(q.Status.Used)
			},
			NoGeneration:         true,
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
				table.Column("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
				table.Age(),
			},
			Cells: cells,
		})
}

// warn of a bound of requests that the bound of limits makes pointless.
func warn(_ context.Context, q, old *corev1.ResourceQuota) []string {
	if old != nil {
		return nil
	}
	var all []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceStorage, corev1.ResourceEphemeralStorage} {
		bounded := "requests." + name
		request, hasRequest := q.Spec.Hard[bounded]
		if !hasRequest && (name == corev1.ResourceCPU || name == corev1.ResourceMemory) {
			bounded = name // the short names of requests
			request, hasRequest = q.Spec.Hard[bounded]
		}
		limit, hasLimit := q.Spec.Hard["limits."+name]
		if hasRequest && hasLimit && request.Cmp(limit) > 0 {
			all = append(all, fmt.Sprintf("ResourceQuota %s (%s) should be less than limits.%s (%s)", bounded, request.String(), name, limit.String()))
		}
	}
	return all
}

// cells show how much is used of what: limits in a column of their own.
func cells(q *corev1.ResourceQuota) []any {
	var requests, limits []string
	for _, name := range sets.List(sets.KeySet(q.Status.Hard)) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{strings.Join(requests, ", "), strings.Join(limits, ", "), table.Since(q.CreationTimestamp)}
}
