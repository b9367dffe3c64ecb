// Package node is all that the server knows of Nodes: defaults, validation and what kubectl prints; and the
// controllers of their life. It is not the node agent.
package node

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"dhow/apiserver"
)

// Config is what Nodes need from elsewhere.
type Config struct {
	// Connectors are the subresources that reach the node itself: proxy. They are mounted as they are.
	Connectors map[string]func(store *genericregistry.Store) rest.Storage
}

// Kind defines Nodes.
func Kind(config Config) apiserver.Kind {
	return apiserver.Define[*corev1.Node, *corev1.NodeList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Node", Resource: "nodes", ShortNames: []string{"no"}, Cluster: true},
		apiserver.Rules[*corev1.Node]{
			Default:        Default,
			StatusOnCreate: true,
			NoGeneration:   true,
			PrepareForCreate: func(_ context.Context, n *corev1.Node) {
				n.Spec.ConfigSource, n.Status.Config = nil, nil
			},
			PrepareForUpdate: func(_ context.Context, n, old *corev1.Node) {
				n.Status = old.Status
				if old.Spec.ConfigSource == nil {
					n.Spec.ConfigSource = nil
				}
			},
			PrepareForStatus: func(_ context.Context, n, old *corev1.Node) {
				if old.Status.Config == nil {
					n.Status.Config = nil
				}
			},
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			ValidateStatusUpdate: func(_ context.Context, n, old *corev1.Node) field.ErrorList { return validateChange(n, old) },
			Fields: func(n *corev1.Node) fields.Set {
				return fields.Set{"spec.unschedulable": strconv.FormatBool(n.Spec.Unschedulable)}
			},
			Columns:      columns(),
			Cells:        cells,
			Subresources: config.Connectors,
		})
}

func warn(_ context.Context, n, _ *corev1.Node) []string {
	var all []string
	if n.Spec.ConfigSource != nil {
		all = append(all, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		all = append(all, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, cidr := range n.Spec.PodCIDRs {
		all = append(all, validation.GetWarningsForCIDR(field.NewPath("spec", "podCIDRs").Index(i), cidr)...)
	}
	return all
}
