package runtimeclass

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/podspec"
	"dhow/api/quantity"
	"dhow/api/table"
	"dhow/api/warnings"
	"dhow/apiserver"
)

// Kind defines RuntimeClasses.
func Kind() apiserver.Kind {
	return apiserver.Define[*nodev1.RuntimeClass, *nodev1.RuntimeClassList](nodev1.SchemeGroupVersion,
		apiserver.Names{Kind: "RuntimeClass", Resource: "runtimeclasses", Cluster: true},
		apiserver.Rules[*nodev1.RuntimeClass]{
			Default: func(c *nodev1.RuntimeClass) {
				if c.Overhead != nil {
					quantity.Round(c.Overhead.PodFixed)
				}
			},
			Validate:               validate,
			ValidateUpdate:         validateUpdate,
			Warnings:               warn,
			AllowCreateOnUpdate:    true,
			RequireResourceVersion: true,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Handler", nodev1.RuntimeClass{}.SwaggerDoc()["handler"]), table.Age(),
			},
			Cells: func(c *nodev1.RuntimeClass) []any { return []any{c.Handler, table.Since(c.CreationTimestamp)} },
		})
}

func validate(_ context.Context, c *nodev1.RuntimeClass) field.ErrorList {
	var l check.List
	if at := field.NewPath("handler"); l.NonEmpty(at, c.Handler) {
		l.Label(at, c.Handler)
	}
	if c.Overhead != nil {
		l.Add(podspec.ValidateResources(&corev1.ResourceRequirements{Limits: c.Overhead.PodFixed}, field.NewPath("overhead"))...)
	}
	if c.Scheduling != nil {
		at := field.NewPath("scheduling")
		l.Labels(at.Child("nodeSelector"), c.Scheduling.NodeSelector)
		tolerations(&l, at.Child("tolerations"), c.Scheduling.Tolerations)
	}
	return l.Errors()
}

func validateUpdate(ctx context.Context, c, old *nodev1.RuntimeClass) field.ErrorList {
	var l check.List
	l.Add(validate(ctx, c)...)
	l.Immutable(field.NewPath("handler"), c.Handler, old.Handler)
	return l.Errors()
}

// tolerations are each there once, however long they last.
func tolerations(l *check.List, at *field.Path, all []corev1.Toleration) {
	l.Add(podspec.ValidateTolerations(all, at)...)
	seen := map[corev1.Toleration]bool{}
	for i, t := range all {
		key := corev1.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
		if seen[key] {
			l.Duplicate(at.Index(i), t)
		}
		seen[key] = true
	}
}

func warn(_ context.Context, c, _ *nodev1.RuntimeClass) []string {
	if c.Scheduling == nil {
		return nil
	}
	var all []string
	for _, label := range slices.Sorted(maps.Keys(c.Scheduling.NodeSelector)) {
		if use := warnings.NodeLabel(label); use != "" {
			all = append(all, fmt.Sprintf("%s: %s", field.NewPath("scheduling", "nodeSelector"), use))
		}
	}
	return all
}
