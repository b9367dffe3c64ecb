package limitrange

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/quantity"
)

func validateUpdate(ctx context.Context, r, _ *corev1.LimitRange) field.ErrorList {
	return validate(ctx, r)
}

func validate(_ context.Context, r *corev1.LimitRange) field.ErrorList {
	var l check.List
	types := sets.Set[corev1.LimitType]{}
	for i := range r.Spec.Limits {
		at, item := field.NewPath("spec", "limits").Index(i), &r.Spec.Limits[i]
		limitType(&l, at.Child("type"), item.Type)
		if types.Has(item.Type) {
			l.Duplicate(at.Child("type"), item.Type)
		}
		types.Insert(item.Type)
		names := resourceNames(&l, at, item)
		if item.Type == corev1.LimitTypePersistentVolumeClaim {
			_, least := item.Min[corev1.ResourceStorage]
			_, most := item.Max[corev1.ResourceStorage]
			if !least && !most {
				l.Required(at.Child("limits"), "either minimum or maximum storage value is required, but neither was provided")
			}
		}
		for _, name := range names {
			bounds(&l, at, item, name)
			ratio(&l, at.Child("maxLimitRequestRatio").Key(string(name)), item, name)
		}
	}
	return l.Errors()
}

var limitTypes = []corev1.LimitType{corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim}

func limitType(l *check.List, at *field.Path, t corev1.LimitType) {
	if wrong := validation.IsQualifiedName(string(t)); len(wrong) > 0 {
		l.Each(at, t, wrong)
	} else if !strings.Contains(string(t), "/") && !slices.Contains(limitTypes, t) {
		l.Invalid(at, t, "must be a standard limit type or fully qualified")
	}
}

// resourceNames are those that an item bounds in any way, each checked.
func resourceNames(l *check.List, at *field.Path, item *corev1.LimitRangeItem) []corev1.ResourceName {
	all, isPod := sets.Set[corev1.ResourceName]{}, item.Type == corev1.LimitTypePod
	for _, list := range []struct {
		name       string
		amounts    corev1.ResourceList
		containers bool
	}{
		{"max", item.Max, false}, {"min", item.Min, false}, {"default", item.Default, true},
		{"defaultRequest", item.DefaultRequest, true}, {"maxLimitRequestRatio", item.MaxLimitRequestRatio, false},
	} {
		if isPod && list.containers {
			if len(list.amounts) > 0 {
				l.Forbidden(at.Child(list.name), "may not be specified when `type` is 'Pod'")
			}
			continue
		}
		for _, name := range sorted(list.amounts) {
			here := at.Child(list.name).Key(string(name))
			if isPod || item.Type == corev1.LimitTypeContainer {
				quantity.CheckContainerName(l, here, name)
			} else {
				quantity.CheckName(l, here, name)
			}
			all.Insert(name)
		}
	}
	return sets.List(all)
}

// bounds requires min ≤ default request ≤ default ≤ max.
func bounds(l *check.List, at *field.Path, item *corev1.LimitRangeItem, name corev1.ResourceName) {
	least, hasLeast := item.Min[name]
	most, hasMost := item.Max[name]
	limit, hasLimit := item.Default[name]
	request, hasRequest := item.DefaultRequest[name]
	if item.Type == corev1.LimitTypePod {
		hasLimit, hasRequest = false, false
	}
	key := string(name)
	greater := func(both bool, small, large resource.Quantity, child string, wrong resource.Quantity, format string) {
		if both && small.Cmp(large) > 0 {
			l.Invalid(at.Child(child).Key(key), wrong, fmt.Sprintf(format, small.String(), large.String()))
		}
	}
	greater(hasLeast && hasMost, least, most, "min", least, "min value %s is greater than max value %s")
	greater(hasLeast && hasRequest, least, request, "defaultRequest", request, "min value %s is greater than default request value %s")
	greater(hasRequest && hasMost, request, most, "defaultRequest", request, "default request value %s is greater than max value %s")
	greater(hasRequest && hasLimit, request, limit, "defaultRequest", request, "default request value %s is greater than default limit value %s")
	greater(hasLeast && hasLimit, least, limit, "default", least, "min value %s is greater than default value %s")
	greater(hasLimit && hasMost, limit, most, "default", most, "default value %s is greater than max value %s")
	if hasLimit && hasRequest && !quantity.MayOvercommit(name) && limit.Cmp(request) != 0 {
		l.Invalid(at.Child("defaultRequest").Key(key), request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name))
	}
}

// ratio requires 1 ≤ ratio ≤ max/min.
func ratio(l *check.List, at *field.Path, item *corev1.LimitRangeItem, name corev1.ResourceName) {
	most, set := item.MaxLimitRequestRatio[name]
	if !set {
		return
	}
	if most.Cmp(resource.MustParse("1")) < 0 {
		l.Invalid(at, most, fmt.Sprintf("ratio %s is less than 1", most.String()))
	}
	smallest, hasMin := item.Min[name]
	largest, hasMax := item.Max[name]
	if !hasMin || !hasMax {
		return
	}
	value, bound := float64(most.Value()), float64(largest.Value())/float64(smallest.Value())
	if most.Value() < resource.MaxMilliValue && smallest.Value() < resource.MaxMilliValue && largest.Value() < resource.MaxMilliValue {
		value, bound = float64(most.MilliValue())/1000, float64(largest.MilliValue())/float64(smallest.MilliValue())
	}
	if value > bound {
		l.Invalid(at, most, fmt.Sprintf("ratio %s is greater than max/min = %f", most.String(), bound))
	}
}
