package review

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

func TestUnknownRequirementsArePassedOverAndTold(t *testing.T) {
	a := attributes(&user.DefaultInfo{Name: "jane"}, &authorizationv1.ResourceAttributes{
		Verb: "list", Resource: "pods",
		LabelSelector: &authorizationv1.LabelSelectorAttributes{Requirements: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"web"}}, {Key: "tier", Operator: "Near"},
		}},
		FieldSelector: &authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{
			{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpExists},
		}},
	}, nil)
	if len(a.LabelSelectorRequirements) != 1 || a.LabelSelectorRequirements[0].String() != "app in (web)" {
		t.Errorf("labels are %v", a.LabelSelectorRequirements)
	}
	if len(a.FieldSelectorRequirements) != 0 {
		t.Errorf("fields are %v", a.FieldSelectorRequirements)
	}
	const want = "spec.resourceAttributes.fieldSelector ignored due to parse error; " +
		"spec.resourceAttributes.labelSelector partially ignored due to parse error"
	if got := evaluationError(nil, a); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestAnEmptyVersionIsEveryVersion(t *testing.T) {
	a := attributes(&user.DefaultInfo{}, &authorizationv1.ResourceAttributes{Resource: "pods"}, nil)
	if a.APIVersion != "*" || !a.ResourceRequest {
		t.Errorf("got %+v", a)
	}
}

func TestSelectorsAreChecked(t *testing.T) {
	path := "spec.resourceAttributes.labelSelector"
	tests := map[string]struct {
		in   authorizationv1.LabelSelectorAttributes
		want string
	}{
		"neither": {authorizationv1.LabelSelectorAttributes{}, path + ".requirements: Required value: when " + path + " is specified, requirements or rawSelector is required"},
		"both": {authorizationv1.LabelSelectorAttributes{RawSelector: "a=b", Requirements: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Exists"}}},
			"may not specified at the same time as requirements"},
		"unknown operator": {authorizationv1.LabelSelectorAttributes{Requirements: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			errs := validateSelectors(&authorizationv1.ResourceAttributes{LabelSelector: &test.in})
			text := ""
			if len(errs) > 0 {
				text = errs.ToAggregate().Error()
			}
			if test.want == "" && text != "" || !strings.Contains(text, test.want) {
				t.Errorf("got %v, want %q", errs, test.want)
			}
		})
	}
}
