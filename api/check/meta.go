package check

import (
	"reflect"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Labels requires valid keys and values of labels.
func (l *List) Labels(path *field.Path, set map[string]string) {
	l.Add(unversioned.ValidateLabels(set, path)...)
}

// LabelKey requires a valid key of a label.
func (l *List) LabelKey(path *field.Path, key string) {
	l.Add(unversioned.ValidateLabelName(key, path)...)
}

// Annotations requires valid keys and a bearable size.
func (l *List) Annotations(path *field.Path, set map[string]string) {
	l.Add(apivalidation.ValidateAnnotations(set, path)...)
}

// Selector requires a valid label selector; nil is valid.
func (l *List) Selector(path *field.Path, selector *metav1.LabelSelector) {
	l.Add(unversioned.ValidateLabelSelector(selector, unversioned.LabelSelectorValidationOptions{}, path)...)
}

// WorkloadSelector requires the selector of a workload: there, valid, and not matching everything. It returns
// the compiled selector, which matches nothing when there is none, and nil when it cannot be compiled. kind is
// the word in the message ("deployment").
func (l *List) WorkloadSelector(path *field.Path, selector *metav1.LabelSelector, kind string) labels.Selector {
	if selector == nil {
		l.Required(path, "")
		return labels.Nothing()
	}
	l.Selector(path, selector)
	if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		l.Invalid(path, selector, "empty selector is invalid for "+kind)
	}
	compiled, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		l.Invalid(path, selector, "invalid label selector")
		return nil
	}
	return compiled
}

// MatchesTemplate requires that a workload's selector matches its own pods.
func (l *List) MatchesTemplate(path *field.Path, selector labels.Selector, templateLabels map[string]string) {
	if selector != nil && !selector.Empty() && !selector.Matches(labels.Set(templateLabels)) {
		l.Invalid(path, templateLabels, "`selector` does not match template `labels`")
	}
}

// JSONName is what clients call a field of an API type.
func JSONName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		name = strings.ToLower(f.Name[:1]) + f.Name[1:]
	}
	return name
}
