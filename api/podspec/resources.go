package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"

	"dhow/api/check"
	"dhow/api/quantity"
)

// ValidateResources checks what a container may ask for.
func ValidateResources(r *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	var c checker
	c.containerResources(at, r)
	return c.Errors()
}

func (c *checker) containerResources(at *field.Path, r *corev1.ResourceRequirements) {
	c.requirements(at, r, quantity.CheckContainerName)
	c.claimNames(at.Child("claims"), r.Claims)
}

// requirements checks names and amounts, and that requests keep to limits.
func (c *checker) requirements(at *field.Path, r *corev1.ResourceRequirements,
	checkName func(*check.List, *field.Path, corev1.ResourceName)) {
	compute, pages := false, false
	for _, list := range []struct {
		name    string
		amounts corev1.ResourceList
	}{{"limits", r.Limits}, {"requests", r.Requests}} {
		for _, name := range sortedNames(list.amounts) {
			amount, here := list.amounts[name], at.Child(list.name).Key(string(name))
			checkName(&c.List, here, name)
			quantity.Check(&c.List, here, name, amount)
			if quantity.IsHugePages(name) {
				pages = true
				if !quantity.MultipleOfPage(name, amount) {
					c.Invalid(here, amount.String(), fmt.Sprintf("%s is not positive integer multiple of %s", amount.String(), name))
				}
			}
			compute = compute || name == corev1.ResourceCPU || name == corev1.ResourceMemory
		}
	}
	c.requestsWithinLimits(at, r)
	if pages && !compute {
		c.Forbidden(at, "HugePages require cpu or memory")
	}
}

func (c *checker) requestsWithinLimits(at *field.Path, r *corev1.ResourceRequirements) {
	for _, name := range sortedNames(r.Requests) {
		request := r.Requests[name]
		limit, limited := r.Limits[name]
		switch {
		case !limited:
			if !quantity.MayOvercommit(name) {
				c.Required(at.Child("limits"), "Limit must be set for non overcommitable resources")
			}
		case !quantity.MayOvercommit(name) && request.Cmp(limit) != 0:
			c.Invalid(at.Child("requests"), request.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String()))
		case request.Cmp(limit) > 0:
			c.Invalid(at.Child("requests"), request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String()))
		}
	}
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	return sets.List(sets.KeySet(list))
}

// claimNames checks which of the pod's claims, or which requests of them, a container uses.
func (c *checker) claimNames(at *field.Path, claims []corev1.ResourceClaim) {
	used := sets.Set[string]{}
	for i, claim := range claims {
		here := at.Index(i)
		if !c.NonEmpty(here, claim.Name) {
			continue
		}
		key := claim.Name
		if claim.Request != "" {
			c.Label(here.Child("request"), claim.Request)
			key += "/" + claim.Request
		}
		if used.Has(claim.Name) || used.Has(key) || claim.Request == "" && usedInPart(used, claim.Name) {
			c.Duplicate(here, key)
		}
		used.Insert(key)
		if !c.claims.Has(claim.Name) {
			missing := field.NotFound(here, claim.Name)
			missing.Detail = "must be one of the names in pod.spec.resourceClaims which is empty"
			if len(c.claims) > 0 {
				missing.Detail = "must be one of the names in pod.spec.resourceClaims: " + strings.Join(sets.List(c.claims), ", ")
			}
			c.Add(missing)
		}
	}
}

func usedInPart(used sets.Set[string], claim string) bool {
	for key := range used {
		if strings.HasPrefix(key, claim+"/") {
			return true
		}
	}
	return false
}

// podResources checks resources of the pod as a whole, against those of its containers.
func (c *checker) podResources(at *field.Path) {
	if c.spec.Overhead != nil {
		c.containerResources(at.Child("overhead"), &corev1.ResourceRequirements{Limits: c.spec.Overhead})
	}
	r, at := c.spec.Resources, at.Child("resources")
	if r == nil {
		return
	}
	if c.spec.OS != nil && c.spec.OS.Name == corev1.Windows {
		c.Forbidden(at, "may not be set for a windows pod")
		return
	}
	if r.Claims != nil {
		c.Forbidden(at.Child("claims"), "claims may not be set for Resources at pod-level")
	}
	c.requirements(at, r, func(l *check.List, at *field.Path, name corev1.ResourceName) {
		if quantity.CheckName(l, at, name) && !resourcehelper.IsSupportedPodLevelResource(name) {
			l.Add(field.NotSupported(at, name, sets.List(resourcehelper.SupportedPodLevelResources())))
		}
	})
	c.claimNames(at.Child("claims"), r.Claims)
	c.aggregates(at, r)
}

func (c *checker) aggregates(at *field.Path, r *corev1.ResourceRequirements) {
	pod, options := &corev1.Pod{Spec: *c.spec}, resourcehelper.PodResourcesOptions{}
	requests := resourcehelper.AggregateContainerRequests(pod, options)
	for _, name := range sortedNames(requests) {
		sum := requests[name]
		if whole, there := r.Requests[name]; there && sum.Cmp(whole) > 0 {
			c.Invalid(at.Child("requests").Key(string(name)), whole.String(),
				"must be greater than or equal to aggregate container requests of "+sum.String())
		}
	}
	limits := resourcehelper.AggregateContainerLimits(pod, options)
	for _, name := range sortedNames(limits) {
		sum := limits[name]
		if whole, there := r.Limits[name]; there && quantity.IsHugePages(name) && sum.Cmp(whole) > 0 {
			c.Invalid(at.Child("limits").Key(string(name)), whole.String(),
				"must be greater than or equal to aggregate container limits of "+sum.String())
		}
	}
	for i := range c.spec.Containers {
		own := c.spec.Containers[i].Resources.Limits
		for _, name := range sortedNames(own) {
			limit := own[name]
			if whole, there := r.Limits[name]; there && limit.Cmp(whole) > 0 {
				c.Invalid(at.Child("containers").Index(i).Key(string(name)).Child("limits"), limit.String(),
					"must be less than or equal to pod limits of "+whole.String())
			}
		}
	}
}
