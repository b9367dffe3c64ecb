package review

import (
	"cmp"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// attributesOf is what an authorizer is asked about somebody else.
func attributesOf(spec authorizationv1.SubjectAccessReviewSpec) authorizer.AttributesRecord {
	subject := &user.DefaultInfo{Name: spec.User, Groups: spec.Groups, UID: spec.UID}
	if spec.Extra != nil {
		subject.Extra = make(map[string][]string, len(spec.Extra))
	}
	for k, v := range spec.Extra {
		subject.Extra[k] = v
	}
	return attributes(subject, spec.ResourceAttributes, spec.NonResourceAttributes)
}

// attributes are of a resource or, if that is nil, of a URL; validation has seen to it that one of them is there.
func attributes(u user.Info, in *authorizationv1.ResourceAttributes, url *authorizationv1.NonResourceAttributes) authorizer.AttributesRecord {
	if in == nil {
		return authorizer.AttributesRecord{User: u, Verb: url.Verb, Path: url.Path}
	}
	a := authorizer.AttributesRecord{
		User: u, ResourceRequest: true, Verb: in.Verb, Namespace: in.Namespace, Name: in.Name,
		APIGroup: in.Group, APIVersion: cmp.Or(in.Version, "*"), Resource: in.Resource, Subresource: in.Subresource,
	}
	a.LabelSelectorRequirements, a.LabelSelectorParsingErr = labelRequirements(in.LabelSelector)
	a.FieldSelectorRequirements, a.FieldSelectorParsingErr = fieldRequirements(in.FieldSelector)
	return a
}

// labelRequirements returns what it understands even with an error: requirements narrow a request, so that passing one
// over asks about more, never about less.
func labelRequirements(in *authorizationv1.LabelSelectorAttributes) (labels.Requirements, error) {
	if in == nil {
		return nil, nil
	}
	if len(in.Requirements) == 0 {
		if in.RawSelector == "" {
			return nil, nil
		}
		return labels.ParseToRequirements(in.RawSelector)
	}
	var known labels.Requirements
	var errs []error
	for _, r := range in.Requirements {
		one, err := labelRequirement(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		known = append(known, *one)
	}
	return known, utilerrors.NewAggregate(errs)
}

func labelRequirement(r metav1.LabelSelectorRequirement) (*labels.Requirement, error) {
	var op selection.Operator
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		op = selection.In
	case metav1.LabelSelectorOpNotIn:
		op = selection.NotIn
	case metav1.LabelSelectorOpExists:
		op = selection.Exists
	case metav1.LabelSelectorOpDoesNotExist:
		op = selection.DoesNotExist
	default:
		return nil, fmt.Errorf("%q is not a valid label selector operator", r.Operator)
	}
	return labels.NewRequirement(r.Key, op, r.Values)
}

// fieldRequirements is for fields what labelRequirements is for labels.
func fieldRequirements(in *authorizationv1.FieldSelectorAttributes) (fields.Requirements, error) {
	if in == nil {
		return nil, nil
	}
	if len(in.Requirements) == 0 {
		if in.RawSelector == "" {
			return nil, nil
		}
		parsed, err := fields.ParseSelector(in.RawSelector)
		if err != nil {
			return nil, err
		}
		return parsed.Requirements(), nil
	}
	var known fields.Requirements
	var errs []error
	for _, r := range in.Requirements {
		one, err := fieldRequirement(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		known = append(known, one)
	}
	return known, utilerrors.NewAggregate(errs)
}

func fieldRequirement(r metav1.FieldSelectorRequirement) (fields.Requirement, error) {
	var op selection.Operator
	switch r.Operator {
	case metav1.FieldSelectorOpIn:
		op = selection.Equals // as parsed selectors have it
	case metav1.FieldSelectorOpNotIn:
		op = selection.NotEquals
	case metav1.FieldSelectorOpExists, metav1.FieldSelectorOpDoesNotExist:
		return fields.Requirement{}, fmt.Errorf("fieldSelectors do not yet support %v", r.Operator)
	default:
		return fields.Requirement{}, fmt.Errorf("%q is not a valid field selector operator", r.Operator)
	}
	if len(r.Values) != 1 {
		return fields.Requirement{}, errors.New("fieldSelectors in and not in must have one value")
	}
	return fields.Requirement{Field: r.Key, Operator: op, Value: r.Values[0]}, nil
}
