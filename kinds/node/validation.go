package node

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"dhow/api/check"
	"dhow/api/podspec"
	"dhow/api/quantity"
)

func validate(_ context.Context, n *corev1.Node) field.ErrorList {
	var l check.List
	taints(&l, field.NewPath("metadata", "taints"), n.Spec.Taints) // upstream's path, though they are in spec
	resources(&l, n)
	if s := n.Status.NodeInfo.Swap; s != nil && s.Capacity != nil {
		l.Positive(field.NewPath("metadata", "nodeSwapStatus", "capacity"), *s.Capacity) // upstream's path
	}
	features(&l, n.Status.DeclaredFeatures)
	at := field.NewPath("spec", "podCIDRs")
	for i, cidr := range n.Spec.PodCIDRs {
		l.CIDR(at.Index(i), cidr)
	}
	if len(n.Spec.PodCIDRs) > 1 {
		dual, err := netutils.IsDualStackCIDRStrings(n.Spec.PodCIDRs)
		if err != nil || !dual || len(n.Spec.PodCIDRs) > 2 {
			l.Invalid(at, n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family")
		}
	}
	return l.Errors()
}

func taints(l *check.List, at *field.Path, list []corev1.Taint) {
	seen := sets.Set[corev1.Taint]{}
	for i, t := range list {
		here := at.Index(i)
		l.LabelKey(here.Child("key"), t.Key)
		if wrong := validation.IsValidLabelValue(t.Value); len(wrong) > 0 {
			l.Invalid(here.Child("value"), t.Value, strings.Join(wrong, ";"))
		}
		if t.Effect == "" {
			l.Required(here.Child("effect"), "")
		} else {
			podspec.CheckTaintEffect(l, here.Child("effect"), t.Effect)
		}
		key := corev1.Taint{Key: t.Key, Effect: t.Effect}
		if seen.Has(key) {
			duplicate := field.Duplicate(here, t)
			duplicate.Detail = "taints must be unique by key and effect pair"
			l.Add(duplicate)
		}
		seen.Insert(key)
	}
}

func resources(l *check.List, n *corev1.Node) {
	for _, list := range []struct {
		name    string
		amounts corev1.ResourceList
	}{{"capacity", n.Status.Capacity}, {"allocatable", n.Status.Allocatable}} {
		for name, amount := range list.amounts {
			quantity.Check(l, field.NewPath("status", list.name, string(name)), name, amount)
		}
	}
}

var featureName = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*$`)

// features are names in order, each once.
func features(l *check.List, names []string) {
	at := field.NewPath("status", "declaredFeatures")
	for i, name := range names {
		if !featureName.MatchString(name) {
			l.Invalid(at.Index(i), name, fmt.Sprintf("invalid feature name %q: must start with an UpperCamelCase segment, with subsequent segments "+
				"separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes", name))
		}
		switch {
		case i == 0:
		case name == names[i-1]:
			l.Duplicate(at.Index(i), name)
		case name < names[i-1]:
			l.Invalid(at.Index(i), name, "list must be sorted alphabetically")
		}
	}
}

func validateUpdate(ctx context.Context, n, old *corev1.Node) field.ErrorList {
	return append(validate(ctx, n), validateChange(n, old)...)
}

// validateChange checks what holds for changes of specification and status alike.
func validateChange(n, old *corev1.Node) field.ErrorList {
	var l check.List
	resources(&l, n)
	features(&l, n.Status.DeclaredFeatures)
	seen := sets.Set[corev1.NodeAddress]{}
	for i, address := range n.Status.Addresses {
		if seen.Has(address) {
			l.Duplicate(field.NewPath("status", "addresses").Index(i), address)
		}
		seen.Insert(address)
	}
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		l.Forbidden(field.NewPath("spec", "podCIDRs"), `node updates may not change podCIDR except from "" to valid`)
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		l.Forbidden(field.NewPath("spec", "providerID"), `node updates may not change providerID except from "" to valid`)
	}
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		l.Forbidden(field.NewPath("spec", "externalID"), "may not be updated")
	}
	return l.Errors()
}
