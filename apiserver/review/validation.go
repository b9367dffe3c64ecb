package review

import (
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateSubjectAccess(q *authorizationv1.SubjectAccessReview) field.ErrorList {
	return append(validateSpec(q.Spec), validateNoMeta(q.ObjectMeta, "must be empty")...)
}

func validateSelfSubjectAccess(q *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
	errs := validateWhat(q.Spec.ResourceAttributes, q.Spec.NonResourceAttributes)
	errs = append(errs, validateSelectors(q.Spec.ResourceAttributes)...)
	return append(errs, validateNoMeta(q.ObjectMeta, "must be empty")...)
}

func validateLocalSubjectAccess(q *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := validateSpec(q.Spec)
	meta := q.ObjectMeta
	meta.Namespace = ""
	errs = append(errs, validateNoMeta(meta, "must be empty except for namespace")...)
	if r := q.Spec.ResourceAttributes; r != nil && r.Namespace != q.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("spec.resourceAttributes.namespace"), r.Namespace, "must match metadata.namespace"))
	}
	if q.Spec.NonResourceAttributes != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec.nonResourceAttributes"), q.Spec.NonResourceAttributes, "disallowed on this kind of request"))
	}
	return errs
}

func validateSpec(spec authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateWhat(spec.ResourceAttributes, spec.NonResourceAttributes)
	if spec.User == "" && len(spec.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "user"), spec.User, "at least one of user or group must be specified"))
	}
	return append(errs, validateSelectors(spec.ResourceAttributes)...)
}

// validateWhat wants a resource or a URL.
func validateWhat(resource *authorizationv1.ResourceAttributes, url *authorizationv1.NonResourceAttributes) field.ErrorList {
	switch path := field.NewPath("spec"); {
	case resource != nil && url != nil:
		return field.ErrorList{field.Invalid(path.Child("nonResourceAttributes"), url, "cannot be specified in combination with resourceAttributes")}
	case resource == nil && url == nil:
		return field.ErrorList{field.Invalid(path.Child("resourceAttributes"), url, "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

func validateNoMeta(meta metav1.ObjectMeta, message string) field.ErrorList {
	meta.ManagedFields = nil
	if apiequality.Semantic.DeepEqual(metav1.ObjectMeta{}, meta) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), meta, message)}
}

// validateSelectors lets operators through that it does not know: a newer client may.
func validateSelectors(r *authorizationv1.ResourceAttributes) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	base := field.NewPath("spec.resourceAttributes")
	if s := r.FieldSelector; s != nil {
		path := base.Child("fieldSelector")
		errs = append(errs, validateEither(s.RawSelector, len(s.Requirements), path)...)
		lenient := metav1validation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}
		for i, one := range s.Requirements {
			errs = append(errs, metav1validation.ValidateFieldSelectorRequirement(one, lenient, path.Child("requirements").Index(i))...)
		}
	}
	if s := r.LabelSelector; s != nil {
		path := base.Child("labelSelector")
		errs = append(errs, validateEither(s.RawSelector, len(s.Requirements), path)...)
		lenient := metav1validation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}
		for i, one := range s.Requirements {
			errs = append(errs, metav1validation.ValidateLabelSelectorRequirement(one, lenient, path.Child("requirements").Index(i))...)
		}
	}
	return errs
}

func validateEither(raw string, requirements int, path *field.Path) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(path.Child("rawSelector"), raw, "may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(path.Child("requirements"), fmt.Sprintf("when %s is specified, requirements or rawSelector is required", path))}
	}
	return nil
}
