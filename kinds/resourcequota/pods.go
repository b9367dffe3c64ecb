package resourcequota

import (
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	resourcehelper "k8s.io/component-helpers/resource"

	"dhow/api/podspec"
	"dhow/api/quantity"
)

// clock tells the time.
type clock func() time.Time

var (
	pods     = corev1.Resource("pods")
	podCount = generic.ObjectCountQuotaResourceNameFor(pods)

	podNames = []corev1.ResourceName{
		podCount, corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
	}
	// mustBeSaid are the resources that every container has to ask for where a quota bounds them.
	mustBeSaid = sets.New(corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory)
)

func podMeasure(now clock, list generic.ListFuncByNamespace) quota.Evaluator {
	return &measure{
		resource: pods, matching: matchingPodNames, handles: changesPodUse, scope: podInScope, require: requireResources, list: list,
		usage: func(obj runtime.Object) (corev1.ResourceList, error) {
			pod, err := as[*corev1.Pod](obj)
			if err != nil {
				return nil, err
			}
			return podUse(pod, now()), nil
		},
	}
}

func as[T runtime.Object](obj runtime.Object) (T, error) {
	o, ok := obj.(T)
	if !ok {
		return o, fmt.Errorf("cannot measure a %T", obj)
	}
	return o, nil
}

func matchingPodNames(names []corev1.ResourceName) []corev1.ResourceName {
	matching := quota.Intersection(names, podNames)
	for _, name := range names {
		huge := strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
		extended := strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) && !quantity.IsNative(name)
		if huge || extended {
			matching = append(matching, name)
		}
	}
	return matching
}

func changesPodUse(a admission.Attributes) bool {
	update := a.GetOperation() == admission.Update
	switch a.GetSubresource() {
	case "resize":
		return update
	case "":
		if !update {
			return a.GetOperation() == admission.Create
		}
		pod, ok := a.GetObject().(*corev1.Pod)
		old, wasPod := a.GetOldObject().(*corev1.Pod)
		return ok && wasPod && isTerminating(pod) != isTerminating(old) // it changes scopes
	}
	return false
}

// isTerminating: the pod is bound to end.
func isTerminating(pod *corev1.Pod) bool {
	return pod.Spec.ActiveDeadlineSeconds != nil && *pod.Spec.ActiveDeadlineSeconds >= 0
}

// requireResources: a quota of cpu or memory wants every container to say how much it needs.
func requireResources(required []corev1.ResourceName, obj runtime.Object) error {
	pod, err := as[*corev1.Pod](obj)
	if err != nil || resourcehelper.IsPodLevelResourcesSet(pod) {
		return err
	}
	must := sets.New(required...).Intersection(mustBeSaid)
	missing := map[corev1.ResourceName]sets.Set[string]{}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range containers {
			for name := range must.Difference(sets.KeySet(charge(c.Resources.Requests, c.Resources.Limits))) {
				if missing[name] == nil {
					missing[name] = sets.Set[string]{}
				}
				missing[name].Insert(c.Name)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var said []string
	for _, name := range sets.List(sets.KeySet(missing)) {
		said = append(said, fmt.Sprintf("%s for: %s", name, strings.Join(sets.List(missing[name]), ",")))
	}
	return errors.New("must specify " + strings.Join(said, "; "))
}

// podUse is what a pod is charged for: itself as long as it is stored, the rest until it has ended.
func podUse(pod *corev1.Pod, now time.Time) corev1.ResourceList {
	use := corev1.ResourceList{podCount: one()}
	if ended(pod, now) {
		return use
	}
	options := resourcehelper.PodResourcesOptions{UseStatusResources: true}
	return quota.Add(use, charge(resourcehelper.PodRequests(pod, options), resourcehelper.PodLimits(pod, options)))
}

func one() resource.Quantity { return *resource.NewQuantity(1, resource.DecimalSI) }

// ended: the pod runs no more, or should have ended on a node that nobody has heard of since.
func ended(pod *corev1.Pod, now time.Time) bool {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	if pod.DeletionTimestamp == nil || pod.DeletionGracePeriodSeconds == nil {
		return false
	}
	return now.After(pod.DeletionTimestamp.Add(time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second))
}

// charge are requests and limits by the names that quotas use.
func charge(requests, limits corev1.ResourceList) corev1.ResourceList {
	use := corev1.ResourceList{corev1.ResourcePods: one()}
	for name, amount := range requests {
		asked := corev1.ResourceName(corev1.DefaultResourceRequestsPrefix) + name
		switch {
		case name == corev1.ResourceCPU, name == corev1.ResourceMemory, name == corev1.ResourceEphemeralStorage, quantity.IsHugePages(name):
			use[name], use[asked] = amount, amount
		case quantity.IsExtended(name):
			use[asked] = amount
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if amount, limited := limits[name]; limited {
			use["limits."+name] = amount
		}
	}
	return use
}

func podInScope(s corev1.ScopedResourceSelectorRequirement, obj runtime.Object) (bool, error) {
	pod, err := as[*corev1.Pod](obj)
	if err != nil {
		return false, err
	}
	switch s.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return isTerminating(pod), nil
	case corev1.ResourceQuotaScopeNotTerminating:
		return !isTerminating(pod), nil
	case corev1.ResourceQuotaScopeBestEffort:
		return podspec.QOSClass(pod) == corev1.PodQOSBestEffort, nil
	case corev1.ResourceQuotaScopeNotBestEffort:
		return podspec.QOSClass(pod) != corev1.PodQOSBestEffort, nil
	case corev1.ResourceQuotaScopePriorityClass:
		return selects(s, pod.Spec.PriorityClassName)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return looksAcrossNamespaces(pod), nil
	}
	return false, nil
}

var operators = map[corev1.ScopeSelectorOperator]selection.Operator{
	corev1.ScopeSelectorOpIn: selection.In, corev1.ScopeSelectorOpNotIn: selection.NotIn,
	corev1.ScopeSelectorOpExists: selection.Exists, corev1.ScopeSelectorOpDoesNotExist: selection.DoesNotExist,
}

// selects says whether a scope's selector takes in any of names; without a name, whether it takes in none.
func selects(s corev1.ScopedResourceSelectorRequirement, names ...string) (bool, error) {
	operator, known := operators[s.Operator]
	if !known {
		return false, fmt.Errorf("failed to parse and convert selector: %q is not a valid scope selector operator", s.Operator)
	}
	r, err := labels.NewRequirement(string(s.ScopeName), operator, s.Values)
	if err != nil {
		return false, fmt.Errorf("failed to parse and convert selector: %w", err)
	}
	none := true
	for _, name := range names {
		if name == "" {
			continue
		}
		none = false
		if r.Matches(labels.Set{string(s.ScopeName): name}) {
			return true, nil
		}
	}
	return none && r.Matches(labels.Set{}), nil
}

func looksAcrossNamespaces(pod *corev1.Pod) bool {
	if pod.Spec.Affinity == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	add := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		terms = append(terms, required...)
		for _, t := range preferred {
			terms = append(terms, t.PodAffinityTerm)
		}
	}
	if a := pod.Spec.Affinity.PodAffinity; a != nil {
		add(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := pod.Spec.Affinity.PodAntiAffinity; a != nil {
		add(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	for _, t := range terms {
		if len(t.Namespaces) > 0 || t.NamespaceSelector != nil {
			return true
		}
	}
	return false
}
