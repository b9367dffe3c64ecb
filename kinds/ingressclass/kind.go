package ingressclass

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/objectref"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines IngressClasses.
func Kind() apiserver.Kind {
	return apiserver.Define[*networkingv1.IngressClass, *networkingv1.IngressClassList](networkingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "IngressClass", Resource: "ingressclasses", Cluster: true},
		apiserver.Rules[*networkingv1.IngressClass]{
			Default:          Default,
			PrepareForCreate: func(_ context.Context, c *networkingv1.IngressClass) { c.Generation = 1 },
			PrepareForUpdate: func(_ context.Context, c, old *networkingv1.IngressClass) {
				if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
					c.Generation = old.Generation + 1
				}
			},
			Validate: func(_ context.Context, c *networkingv1.IngressClass) field.ErrorList { return validate(c) },
			ValidateUpdate: func(_ context.Context, c, old *networkingv1.IngressClass) field.ErrorList {
				var l check.List
				l.Immutable(field.NewPath("spec", "controller"), c.Spec.Controller, old.Spec.Controller)
				return append(l.Errors(), validate(c)...)
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Controller", "Controller that is responsible for handling this class"),
				table.Column("Parameters", "A reference to a resource with additional parameters"),
				table.Age(),
			},
			Cells: cells,
		})
}

// Default takes parameters for objects of the cluster.
func Default(c *networkingv1.IngressClass) {
	if p := c.Spec.Parameters; p != nil && p.Scope == nil {
		scope := networkingv1.IngressClassParametersReferenceScopeCluster
		p.Scope = &scope
	}
}

func isDefault(c *networkingv1.IngressClass) bool {
	return c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
}

// cells mark a default class in its name.
func cells(c *networkingv1.IngressClass) []any {
	name, parameters := c.Name, "<none>"
	if isDefault(c) {
		name += " (default)"
	}
	if p := c.Spec.Parameters; p != nil {
		parameters = p.Kind
		if p.APIGroup != nil {
			parameters += "." + *p.APIGroup
		}
		parameters += "/" + p.Name
	}
	return []any{name, c.Spec.Controller, parameters, table.Since(c.CreationTimestamp)}
}

// maxController is the length of a controller's name.
const maxController = 250

func validate(c *networkingv1.IngressClass) field.ErrorList {
	var l check.List
	at := field.NewPath("spec")
	controller := at.Child("controller")
	if len(c.Spec.Controller) > maxController {
		l.Add(field.TooLong(controller, c.Spec.Controller, maxController))
	}
	l.Add(validation.IsDomainPrefixedPath(controller, c.Spec.Controller)...)
	if c.Spec.Parameters != nil {
		parameters(&l, at.Child("parameters"), c.Spec.Parameters)
	}
	return l.Errors()
}

func parameters(l *check.List, at *field.Path, p *networkingv1.IngressClassParametersReference) {
	objectref.Validate(l, at, p.APIGroup, p.Kind, p.Name)
	const cluster, namespaced = networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace
	scope, namespace := at.Child("scope"), at.Child("namespace")
	switch {
	case p.Scope == nil:
		l.Required(scope, "")
	case *p.Scope == cluster:
		if p.Namespace != nil {
			l.Forbidden(namespace, "`parameters.scope` is set to 'Cluster'")
		}
	case *p.Scope == namespaced:
		if p.Namespace == nil {
			l.Required(namespace, "`parameters.scope` is set to 'Namespace'")
		} else {
			l.Label(namespace, *p.Namespace)
		}
	default:
		check.Known(l, scope, *p.Scope, cluster, namespaced)
	}
}
