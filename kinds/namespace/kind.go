// Package namespace is all that the server knows of Namespaces: defaults, validation, what kubectl prints, and
// that a deleted one stays until nothing is in it; and the controller that empties it.
package namespace

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"dhow/api/subresource"
	"dhow/apiserver"
)

// Kind defines Namespaces.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.Namespace, *corev1.NamespaceList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Namespace", Resource: "namespaces", ShortNames: []string{"ns"}, Cluster: true},
		apiserver.Rules[*corev1.Namespace]{
			Default:          Default,
			PrepareForCreate: prepareForCreate,
			PrepareForUpdate: func(_ context.Context, n, old *corev1.Namespace) {
				n.Spec.Finalizers, n.Status = old.Spec.Finalizers, old.Status
			},
			Validate: validate,
			ValidateUpdate: func(ctx context.Context, n, _ *corev1.Namespace) field.ErrorList {
				return validate(ctx, n)
			},
			ValidateName:         validation.IsDNS1123Label,
			HasStatus:            true,
			NoGeneration:         true,
			ValidateStatusUpdate: validateStatusUpdate,
			Fields: func(n *corev1.Namespace) fields.Set {
				return fields.Set{"status.phase": string(n.Status.Phase), "name": n.Name}
			},
			Columns:      columns(),
			Cells:        cells,
			Delete:       remove,
			Subresources: map[string]func(*genericregistry.Store) rest.Storage{"finalize": newFinalize},
			Hook: func(s *genericregistry.Store) {
				s.ReturnDeletedObject = true
				s.ShouldDeleteDuringUpdate = goesWithUpdate
			},
		})
}

func prepareForCreate(_ context.Context, n *corev1.Namespace) {
	Default(n) // the label, when the name was generated
	n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
		n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
}

// goesWithUpdate: the update that takes the last finalizer deletes the namespace.
func goesWithUpdate(ctx context.Context, key string, obj, existing runtime.Object) bool {
	return len(obj.(*corev1.Namespace).Spec.Finalizers) == 0 && genericregistry.ShouldDeleteDuringUpdate(ctx, key, obj, existing)
}

// newFinalize is namespaces/finalize: it alone changes spec.finalizers.
func newFinalize(store *genericregistry.Store) rest.Storage {
	return subresource.New(store, subresource.Rules[*corev1.Namespace]{
		Prepare:  func(_ context.Context, n, old *corev1.Namespace) { n.Status = old.Status },
		Validate: func(_ context.Context, n, _ *corev1.Namespace) field.ErrorList { return validateFinalize(n) },
		Owns: map[fieldpath.APIVersion]fieldpath.Filter{
			"v1": fieldpath.NewIncludeMatcherFilter(fieldpath.MakePrefixMatcherOrDie("spec")),
		},
	})
}
