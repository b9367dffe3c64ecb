// Package controllerrevision is all that the server knows of ControllerRevisions: what they hold never changes.
package controllerrevision

import (
	"context"
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines ControllerRevisions.
func Kind() apiserver.Kind {
	return apiserver.Define[*appsv1.ControllerRevision, *appsv1.ControllerRevisionList](appsv1.SchemeGroupVersion,
		apiserver.Names{Kind: "ControllerRevision", Resource: "controllerrevisions"},
		apiserver.Rules[*appsv1.ControllerRevision]{
			Validate:       validate,
			ValidateUpdate: validateUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Controller", "Controller of the object"),
				table.Column("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
				table.Age(),
			},
			Cells: func(r *appsv1.ControllerRevision) []any {
				return []any{controllerOf(r), r.Revision, table.Since(r.CreationTimestamp)}
			},
		})
}

func validate(_ context.Context, r *appsv1.ControllerRevision) field.ErrorList {
	var l check.List
	l.NonNegative(field.NewPath("revision"), r.Revision)
	at := field.NewPath("data")
	if r.Data.Raw == nil {
		l.Required(at, "data is mandatory")
		return l.Errors()
	}
	var data any
	if err := json.Unmarshal(r.Data.Raw, &data); err != nil {
		l.Invalid(at, "<value omitted>", "error parsing data: "+err.Error())
	} else if data == nil {
		l.Required(at, "data is mandatory")
	} else if _, isObject := data.(map[string]any); !isObject {
		l.Required(at, "data must be a valid JSON object")
	}
	return l.Errors()
}

func validateUpdate(_ context.Context, r, old *appsv1.ControllerRevision) field.ErrorList {
	var l check.List
	l.NonNegative(field.NewPath("revision"), r.Revision)
	l.Immutable(field.NewPath("data"), r.Data, old.Data)
	return l.Errors()
}

// controllerOf is "statefulset.apps/web".
func controllerOf(r *appsv1.ControllerRevision) string {
	ref := metav1.GetControllerOfNoCopy(r)
	if ref == nil {
		return "<none>"
	}
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	return strings.ToLower(kind.String()) + "/" + ref.Name
}
