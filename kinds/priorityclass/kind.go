// Package priorityclass is all that the server knows of PriorityClasses: defaults, validation, what kubectl prints,
// the two that every cluster has, and the priority that pods get from them. It preempts nothing.
package priorityclass

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines PriorityClasses.
func Kind() apiserver.Kind {
	return apiserver.Define[*schedulingv1.PriorityClass, *schedulingv1.PriorityClassList](schedulingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "PriorityClass", Resource: "priorityclasses", ShortNames: []string{"pc"}, Cluster: true},
		apiserver.Rules[*schedulingv1.PriorityClass]{
			Default:          Default,
			PrepareForCreate: func(_ context.Context, c *schedulingv1.PriorityClass) { c.Generation = 1 },
			Validate:         validate,
			ValidateUpdate:   validateUpdate,
			Columns:          columns(),
			Cells:            cells,
			Delete:           remove,
		})
}

// Default lets a class preempt.
func Default(c *schedulingv1.PriorityClass) {
	if c.PreemptionPolicy == nil {
		policy := corev1.PreemptLowerPriority
		c.PreemptionPolicy = &policy
	}
}

// HighestUser is the highest value of a class that is not the system's own.
const HighestUser int32 = 1_000_000_000

const systemPrefix = "system-"

// Defaults are the classes that every cluster has from the start.
func Defaults() []*schedulingv1.PriorityClass {
	const critical = 2 * HighestUser
	return []*schedulingv1.PriorityClass{
		{
			ObjectMeta: metav1.ObjectMeta{Name: "system-node-critical"}, Value: critical + 1000,
			Description: "Used for system critical pods that must not be moved from their current node.",
		},
		{
			ObjectMeta: metav1.ObjectMeta{Name: "system-cluster-critical"}, Value: critical,
			Description: "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
		},
	}
}

func validate(_ context.Context, c *schedulingv1.PriorityClass) field.ErrorList {
	var l check.List
	switch {
	case strings.HasPrefix(c.Name, systemPrefix):
		if err := known(c); err != nil {
			l.Forbidden(field.NewPath("metadata", "name"), "priority class names with '"+systemPrefix+"' prefix are reserved for system use only. error: "+err.Error())
		}
	case c.Value > HighestUser:
		l.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %v", HighestUser))
	}
	if p := c.PreemptionPolicy; p != nil && *p != corev1.PreemptLowerPriority && *p != corev1.PreemptNever {
		l.Add(field.NotSupported(field.NewPath("preemptionPolicy"), *p, []corev1.PreemptionPolicy{corev1.PreemptLowerPriority, corev1.PreemptNever}))
	}
	return l.Errors()
}

func known(c *schedulingv1.PriorityClass) error {
	for _, own := range Defaults() {
		switch {
		case own.Name != c.Name:
			continue
		case own.Value != c.Value:
			return fmt.Errorf("value of %v PriorityClass must be %v", own.Name, own.Value)
		case own.GlobalDefault != c.GlobalDefault:
			return fmt.Errorf("globalDefault of %v PriorityClass must be %v", own.Name, own.GlobalDefault)
		}
		return nil
	}
	return fmt.Errorf("%v is not a known system priority class", c.Name)
}

func validateUpdate(_ context.Context, c, old *schedulingv1.PriorityClass) field.ErrorList {
	var l check.List
	if c.Value != old.Value {
		l.Forbidden(field.NewPath("value"), "may not be changed in an update.")
	}
	l.Immutable(field.NewPath("preemptionPolicy"), c.PreemptionPolicy, old.PreemptionPolicy)
	return l.Errors()
}

func columns() []metav1.TableColumnDefinition {
	doc := schedulingv1.PriorityClass{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Number("Value", doc["value"]),
		{Name: "Global-Default", Type: "boolean", Description: doc["globalDefault"]},
		table.Age(),
		table.Column("PreemptionPolicy", doc["preemptionPolicy"]),
	}
}

func cells(c *schedulingv1.PriorityClass) []any {
	return []any{int64(c.Value), c.GlobalDefault, table.Since(c.CreationTimestamp), string(table.Value(c.PreemptionPolicy))}
}

func remove(ctx context.Context, store *genericregistry.Store, name string, validate rest.ValidateObjectFunc,
	options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if slices.ContainsFunc(Defaults(), func(c *schedulingv1.PriorityClass) bool { return c.Name == name }) {
		return nil, false, apierrors.NewForbidden(schedulingv1.Resource("priorityclasses"), name,
			errors.New("this is a system priority class and cannot be deleted"))
	}
	return store.Delete(ctx, name, validate, options)
}
