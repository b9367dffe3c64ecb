// Package resourceclaim is all that the server knows of the group resource.k8s.io: DeviceClasses, ResourceClaims and
// their templates, ResourceSlices and DeviceTaintRules. It allocates nothing: schedulers do.
package resourceclaim

import (
	"context"

	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

var gv = resourcev1.SchemeGroupVersion

// Config is what claims need from elsewhere.
type Config struct {
	// Client reads namespaces and reviews the rights of those who write a claim's status. It is called when the
	// server runs.
	Client func() kubernetes.Interface
}

// Kinds defines the kinds of the group.
func Kinds(c Config) []apiserver.Kind {
	return []apiserver.Kind{claims(c), templates(c), classes(), poolSlices(), taintRules()}
}

func nameAndAge() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Age()}
}

func templates(c Config) apiserver.Kind {
	return apiserver.Define[*resourcev1.ResourceClaimTemplate, *resourcev1.ResourceClaimTemplateList](gv,
		apiserver.Names{Kind: "ResourceClaimTemplate", Resource: "resourceclaimtemplates"},
		apiserver.Rules[*resourcev1.ResourceClaimTemplate]{
			Default:          func(t *resourcev1.ResourceClaimTemplate) { defaultClaim(&t.Spec.Spec) },
			PrepareForCreate: func(_ context.Context, t *resourcev1.ResourceClaimTemplate) { dropFromClaim(&t.Spec.Spec) },
			PrepareForUpdate: func(_ context.Context, t, _ *resourcev1.ResourceClaimTemplate) { dropFromClaim(&t.Spec.Spec) },
			Validate: func(ctx context.Context, t *resourcev1.ResourceClaimTemplate) field.ErrorList {
				var v claimCheck
				v.Add(c.adminRequested(ctx, t.Namespace, t.Spec.Spec.Devices.Requests)...)
				at := field.NewPath("spec")
				v.Labels(at.Child("metadata", "labels"), t.Spec.Labels)
				v.Annotations(at.Child("metadata", "annotations"), t.Spec.Annotations)
				v.spec(at.Child("spec", "devices"), &t.Spec.Spec.Devices)
				return v.Errors()
			},
			ValidateUpdate: func(_ context.Context, t, old *resourcev1.ResourceClaimTemplate) field.ErrorList {
				var v check.List
				v.Immutable(field.NewPath("spec"), t.Spec, old.Spec)
				return v.Errors()
			},
			Columns: nameAndAge(),
			Cells:   func(t *resourcev1.ResourceClaimTemplate) []any { return []any{table.Since(t.CreationTimestamp)} },
		})
}

func classes() apiserver.Kind {
	return apiserver.Define[*resourcev1.DeviceClass, *resourcev1.DeviceClassList](gv,
		apiserver.Names{Kind: "DeviceClass", Resource: "deviceclasses", Cluster: true},
		apiserver.Rules[*resourcev1.DeviceClass]{
			PrepareForCreate: func(_ context.Context, c *resourcev1.DeviceClass) { c.Generation = 1 },
			PrepareForUpdate: func(_ context.Context, c, old *resourcev1.DeviceClass) {
				count(c, old, c.Spec, old.Spec)
			},
			Validate: func(_ context.Context, c *resourcev1.DeviceClass) field.ErrorList { return validateClass(c, nil) },
			ValidateUpdate: func(_ context.Context, c, old *resourcev1.DeviceClass) field.ErrorList {
				return validateClass(c, &old.Spec)
			},
			Columns: nameAndAge(),
			Cells:   func(c *resourcev1.DeviceClass) []any { return []any{table.Since(c.CreationTimestamp)} },
		})
}

// count raises the generation of a kind without a status when its spec has changed.
func count(obj, old metav1.Object, spec, oldSpec any) {
	obj.SetGeneration(old.GetGeneration())
	if !apiequality.Semantic.DeepEqual(spec, oldSpec) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
}

func poolSlices() apiserver.Kind {
	doc := resourcev1.ResourceSliceSpec{}.SwaggerDoc()
	return apiserver.Define[*resourcev1.ResourceSlice, *resourcev1.ResourceSliceList](gv,
		apiserver.Names{Kind: "ResourceSlice", Resource: "resourceslices", Cluster: true},
		apiserver.Rules[*resourcev1.ResourceSlice]{
			Default: defaultSlice,
			PrepareForCreate: func(_ context.Context, s *resourcev1.ResourceSlice) {
				s.Generation = 1
				dropFromSlice(&s.Spec)
			},
			PrepareForUpdate: func(_ context.Context, s, old *resourcev1.ResourceSlice) {
				dropFromSlice(&s.Spec)
				count(s, old, s.Spec, old.Spec)
			},
			Validate: func(_ context.Context, s *resourcev1.ResourceSlice) field.ErrorList { return validateSlice(s, nil) },
			ValidateUpdate: func(_ context.Context, s, old *resourcev1.ResourceSlice) field.ErrorList {
				return validateSlice(s, &old.Spec)
			},
			Warnings: func(_ context.Context, s, _ *resourcev1.ResourceSlice) []string { return warnOfDriver(s.Spec.Driver) },
			Fields: func(s *resourcev1.ResourceSlice) fields.Set {
				return fields.Set{
					resourcev1.ResourceSliceSelectorNodeName: table.Value(s.Spec.NodeName),
					resourcev1.ResourceSliceSelectorDriver:   s.Spec.Driver,
					resourcev1.ResourceSliceSelectorPoolName: s.Spec.Pool.Name,
				}
			},
			IndexFields: []string{resourcev1.ResourceSliceSelectorNodeName},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Node", doc["nodeName"]), table.Column("Driver", doc["driver"]),
				table.Column("Pool", resourcev1.ResourcePool{}.SwaggerDoc()["name"]), table.Age(),
			},
			Cells: func(s *resourcev1.ResourceSlice) []any {
				return []any{table.Value(s.Spec.NodeName), s.Spec.Driver, s.Spec.Pool.Name, table.Since(s.CreationTimestamp)}
			},
		})
}
