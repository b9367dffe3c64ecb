// Package workload holds the rules that Deployments, ReplicaSets, StatefulSets and DaemonSets share: their pod
// template, amounts that may be percentages, and the counts in their status.
package workload

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/podspec"
	"dhow/api/warnings"
)

// Template requires that the selector matches the template's pods, and that those run for ever. kind is the
// word in messages ("ReplicaSet").
func Template(l *check.List, at *field.Path, template *corev1.PodTemplateSpec, selector labels.Selector, kind string) {
	l.MatchesTemplate(at.Child("metadata", "labels"), selector, template.Labels)
	l.Add(podspec.ValidateTemplate(template, at)...)
	if p := template.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		l.Add(field.NotSupported(at.Child("spec", "restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		l.Forbidden(at.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported")
	}
}

// IntOrPercent requires a number ≥ 0 or a percentage.
func IntOrPercent(l *check.List, at *field.Path, v intstr.IntOrString) {
	if v.Type == intstr.String {
		l.Each(at, v, validation.IsValidPercent(v.StrVal))
		return
	}
	l.NonNegative(at, int64(v.IntVal))
}

// AtMostAll refuses more than 100%.
func AtMostAll(l *check.List, at *field.Path, v intstr.IntOrString) {
	if percent, ok := percentage(v); ok && percent > 100 {
		l.Invalid(at, v, "must not be greater than 100%")
	}
}

// IsZero says whether v is 0 or 0%.
func IsZero(v intstr.IntOrString) bool {
	if percent, ok := percentage(v); ok {
		return percent == 0
	}
	return v.IntValue() == 0
}

func percentage(v intstr.IntOrString) (int, bool) {
	if v.Type != intstr.String || len(validation.IsValidPercent(v.StrVal)) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
	return n, err == nil
}

// Count is one count in a status.
type Count struct {
	Name  string
	Value int32
}

// Counts requires counts ≥ 0, none above replicas.
func Counts(l *check.List, at *field.Path, replicas int32, counts ...Count) {
	l.NonNegative(at.Child("replicas"), int64(replicas))
	for _, c := range counts {
		l.NonNegative(at.Child(c.Name), int64(c.Value))
		if c.Value > replicas {
			l.Invalid(at.Child(c.Name), c.Value, "cannot be greater than status.replicas")
		}
	}
}

// Available requires available ≤ ready.
func Available(l *check.List, at *field.Path, available, ready int32) {
	if available > ready {
		l.Invalid(at.Child("availableReplicas"), available, "cannot be greater than readyReplicas")
	}
}

// Warnings are those about the workload's name, on create, and its template.
func Warnings(meta *metav1.ObjectMeta, template *corev1.PodTemplateSpec, create bool) []string {
	return append(NameWarnings(meta, create), warnings.Template(template, field.NewPath("spec", "template"))...)
}

// NameWarnings are those about the workload's name, on create.
func NameWarnings(meta *metav1.ObjectMeta, create bool) []string {
	wrong := validation.IsDNS1123Label(meta.Name)
	if !create || len(wrong) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, "+
		"which can result in surprising behavior; a DNS label is recommended: %v", wrong)}
}

// SelectorString is a selector as a scale shows it, empty when it makes no sense.
func SelectorString(selector *metav1.LabelSelector) string {
	compiled, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return ""
	}
	return compiled.String()
}
