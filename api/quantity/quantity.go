// Package quantity holds the rules of resource names and amounts: which names a container may ask for, which
// amounts are whole, and how they add up to a quality-of-service class.
package quantity

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// Round rounds every amount up to thousandths, the finest that the API keeps.
func Round(list corev1.ResourceList) {
	for name, amount := range list {
		amount.RoundUp(resource.Milli)
		list[name] = amount
	}
}

// Check requires a bearable amount of the named resource: not negative, and whole where the resource is.
func Check(l *check.List, at *field.Path, name corev1.ResourceName, amount resource.Quantity) {
	if amount.Sign() < 0 {
		l.Invalid(at, amount.String(), "must be greater than or equal to 0")
	}
	if whole(name) && amount.MilliValue()%1000 != 0 {
		l.Invalid(at, amount, "must be an integer")
	}
}

var containerResources = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
}

var standardResources = append([]corev1.ResourceName{
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage,
	corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
	corev1.ResourceStorage, corev1.ResourceRequestsStorage,
}, append(containerResources, countedResources...)...)

var countedResources = []corev1.ResourceName{
	corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
	corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
	corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers,
}

// CheckName requires the name of a resource: a standard or a fully qualified one.
func CheckName(l *check.List, at *field.Path, name corev1.ResourceName) bool {
	if wrong := validation.IsQualifiedName(string(name)); len(wrong) > 0 {
		l.Each(at, name, wrong)
		return false
	}
	if !strings.Contains(string(name), "/") && !slices.Contains(standardResources, name) && !IsHugePages(name) &&
		!strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix) {
		l.Invalid(at, name, "must be a standard resource type or fully qualified")
		return false
	}
	return true
}

// CheckContainerName requires the name of a resource that a container may have.
func CheckContainerName(l *check.List, at *field.Path, name corev1.ResourceName) {
	CheckName(l, at, name)
	switch {
	case !strings.Contains(string(name), "/"):
		if !slices.Contains(containerResources, name) && !IsHugePages(name) {
			l.Invalid(at, name, "must be a standard resource for containers")
		}
	case !IsNative(name) && !IsExtended(name):
		l.Invalid(at, name, "doesn't follow extended resource name standard")
	}
}

// IsHugePages says whether name is "hugepages-<size>".
func IsHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// IsNative says whether the resource is Kubernetes' own.
func IsNative(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// IsExtended says whether the resource is one that a device plugin or an administrator may offer.
func IsExtended(name corev1.ResourceName) bool {
	return !IsNative(name) && !strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) &&
		len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// MayOvercommit says whether limits of the resource may exceed requests.
func MayOvercommit(name corev1.ResourceName) bool { return IsNative(name) && !IsHugePages(name) }

// MultipleOfPage says whether an amount of huge pages is a whole number of pages.
func MultipleOfPage(name corev1.ResourceName, amount resource.Quantity) bool {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	if err != nil || size.Sign() <= 0 || size.MilliValue()%1000 != 0 || size.Value() == 0 {
		return false
	}
	return amount.Value()%size.Value() == 0
}

func whole(name corev1.ResourceName) bool {
	return slices.Contains(countedResources, name) || IsExtended(name)
}
