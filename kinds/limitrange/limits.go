package limitrange

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	resourcehelper "k8s.io/component-helpers/resource"
)

// annotation tells a user what was set for them.
const annotation = "kubernetes.io/limit-ranger"

// fill sets requests and limits that containers leave open, and says so in an annotation.
func fill(pod *corev1.Pod, r *corev1.LimitRange) {
	var requests, limits corev1.ResourceList
	for _, item := range r.Spec.Limits {
		if item.Type == corev1.LimitTypeContainer {
			add(&requests, item.DefaultRequest, true)
			add(&limits, item.Default, true)
		}
	}
	var said []string
	for _, group := range []struct {
		what       string
		containers []corev1.Container
	}{{"container", pod.Spec.Containers}, {"init container", pod.Spec.InitContainers}} {
		for i := range group.containers {
			c := &group.containers[i]
			if set := add(&c.Resources.Requests, requests, false); len(set) > 0 {
				said = append(said, fmt.Sprintf("%s request for %s %s", strings.Join(set, ", "), group.what, c.Name))
			}
			if set := add(&c.Resources.Limits, limits, false); len(set) > 0 {
				said = append(said, fmt.Sprintf("%s limit for %s %s", strings.Join(set, ", "), group.what, c.Name))
			}
		}
	}
	if len(said) == 0 {
		return
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[annotation] = "LimitRanger plugin set: " + strings.Join(said, "; ")
}

// add copies amounts into a list, over what it has or not, and names the resources that it set.
func add(list *corev1.ResourceList, from corev1.ResourceList, over bool) []string {
	var set []string
	for _, name := range sorted(from) {
		if _, has := (*list)[name]; has && !over {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = from[name].DeepCopy()
		set = append(set, string(name))
	}
	return set
}

func sorted(list corev1.ResourceList) []corev1.ResourceName { return sets.List(sets.KeySet(list)) }

func checkPod(r *corev1.LimitRange, spec *corev1.PodSpec) error {
	var errs []error
	for _, item := range r.Spec.Limits {
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
				for _, c := range containers {
					errs = append(errs, usage{item.Type, c.Resources.Requests, c.Resources.Limits}.check(item)...)
				}
			}
		case corev1.LimitTypePod:
			pod, options := &corev1.Pod{Spec: *spec}, resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
			u := usage{item.Type, resourcehelper.PodRequests(pod, options), resourcehelper.PodLimits(pod, options)}
			errs = append(errs, u.check(item)...)
		}
	}
	return utilerrors.NewAggregate(errs)
}

// checkClaim bounds what is requested: claims have no limits.
func checkClaim(r *corev1.LimitRange, claim *corev1.PersistentVolumeClaim) error {
	var errs []error
	for _, item := range r.Spec.Limits {
		if item.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		u := usage{item.Type, claim.Spec.Resources.Requests, nil}
		for _, name := range sorted(item.Min) {
			errs = append(errs, u.min(name, item.Min[name]))
		}
		for _, name := range sorted(item.Max) {
			errs = append(errs, u.maxRequest(name, item.Max[name]))
		}
	}
	return utilerrors.NewAggregate(errs)
}

// usage is what a container, pod or claim asks for.
type usage struct {
	kind             corev1.LimitType
	requests, limits corev1.ResourceList
}

func (u usage) check(item corev1.LimitRangeItem) []error {
	var errs []error
	for _, name := range sorted(item.Min) {
		errs = append(errs, u.min(name, item.Min[name]))
	}
	for _, name := range sorted(item.Max) {
		errs = append(errs, u.max(name, item.Max[name]))
	}
	for _, name := range sorted(item.MaxLimitRequestRatio) {
		errs = append(errs, u.ratio(name, item.MaxLimitRequestRatio[name]))
	}
	return errs
}

func (u usage) min(name corev1.ResourceName, bound resource.Quantity) error {
	request, requested := u.requests[name]
	limit, limited := u.limits[name]
	rule := fmt.Sprintf("minimum %s usage per %s is %s", name, u.kind, bound.String())
	switch {
	case !requested:
		return fmt.Errorf("%s.  No request is specified", rule)
	case request.Cmp(bound) < 0:
		return fmt.Errorf("%s, but request is %s", rule, request.String())
	case limited && limit.Cmp(bound) < 0:
		return fmt.Errorf("%s, but limit is %s", rule, limit.String())
	}
	return nil
}

func (u usage) max(name corev1.ResourceName, bound resource.Quantity) error {
	limit, limited := u.limits[name]
	rule := fmt.Sprintf("maximum %s usage per %s is %s", name, u.kind, bound.String())
	switch {
	case !limited:
		return fmt.Errorf("%s.  No limit is specified", rule)
	case limit.Cmp(bound) > 0:
		return fmt.Errorf("%s, but limit is %s", rule, limit.String())
	}
	if _, requested := u.requests[name]; requested {
		return u.maxRequest(name, bound)
	}
	return nil
}

func (u usage) maxRequest(name corev1.ResourceName, bound resource.Quantity) error {
	request, requested := u.requests[name]
	rule := fmt.Sprintf("maximum %s usage per %s is %s", name, u.kind, bound.String())
	switch {
	case !requested:
		return fmt.Errorf("%s.  No request is specified", rule)
	case request.Cmp(bound) > 0:
		return fmt.Errorf("%s, but request is %s", rule, request.String())
	}
	return nil
}

func (u usage) ratio(name corev1.ResourceName, bound resource.Quantity) error {
	request, limit := u.requests[name], u.limits[name]
	rule := fmt.Sprintf("%s max limit to request ratio per %s is %s", name, u.kind, bound.String())
	switch {
	case request.IsZero():
		return fmt.Errorf("%s, but no request is specified or request is 0", rule)
	case limit.IsZero():
		return fmt.Errorf("%s, but no limit is specified or limit is 0", rule)
	}
	if got := limit.AsApproximateFloat64() / request.AsApproximateFloat64(); got > bound.AsApproximateFloat64() {
		return fmt.Errorf("%s, but provided ratio is %f", rule, got)
	}
	return nil
}
