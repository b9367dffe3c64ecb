package resourceclaim

import (
	"fmt"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func defaultSlice(s *resourcev1.ResourceSlice) {
	for i := range s.Spec.Devices {
		for j := range s.Spec.Devices[i].Taints {
			defaultTaint(&s.Spec.Devices[i].Taints[j])
		}
	}
}

// validateSlice checks a slice; old is nil for a new one.
func validateSlice(slice *resourcev1.ResourceSlice, old *resourcev1.ResourceSliceSpec) field.ErrorList {
	c := &sliceCheck{old: old}
	spec, at := &slice.Spec, field.NewPath("spec")
	c.driver(at.Child("driver"), spec.Driver)
	c.resourcePool(at.Child("pool"), &spec.Pool)
	if old != nil {
		c.Immutable(at.Child("pool", "name"), spec.Pool.Name, old.Pool.Name)
		c.Immutable(at.Child("driver"), spec.Driver, old.Driver)
		c.Immutable(at.Child("nodeName"), spec.NodeName, old.NodeName)
	}
	c.where(at, spec)
	if spec.SharedCounters != nil && spec.Devices != nil {
		c.Invalid(at, "", "only one of `sharedCounters` or `devices` is allowed")
	}
	most := resourcev1.ResourceSliceMaxDevices
	if advanced(spec.Devices) {
		most = resourcev1.ResourceSliceMaxDevicesWithAdvancedFeatures
	}
	c.perDevice = isTrue(spec.PerDeviceNodeSelection)
	set(&c.list, at.Child("devices"), spec.Devices, most, func(d *resourcev1.Device) string { return d.Name }, c.device)
	set(&c.list, at.Child("sharedCounters"), spec.SharedCounters, resourcev1.ResourceSliceMaxCounterSets,
		func(s *resourcev1.CounterSet) string { return s.Name },
		func(at *field.Path, s *resourcev1.CounterSet) {
			c.named(at.Child("name"), s.Name)
			c.counters(at.Child("counters"), s.Counters, resourcev1.ResourceSliceMaxCountersPerCounterSet)
		})
	return c.Errors()
}

// sliceCheck checks what a driver says of its devices.
type sliceCheck struct {
	list
	old       *resourcev1.ResourceSliceSpec
	perDevice bool // each device says where it is
}

func (c *sliceCheck) resourcePool(at *field.Path, p *resourcev1.ResourcePool) {
	c.pool(at.Child("name"), p.Name)
	c.Positive(at.Child("resourceSliceCount"), p.ResourceSliceCount)
	if p.Generation < 0 {
		c.Invalid(at.Child("generation"), p.Generation, "must be greater than or equal to zero")
	}
}

// where requires one way of saying which nodes have the devices.
func (c *sliceCheck) where(at *field.Path, s *resourcev1.ResourceSliceSpec) {
	var ways []string
	if n := s.NodeName; n != nil && *n == "" {
		c.Invalid(at.Child("nodeName"), *n, "must be either unset or set to a non-empty string")
	} else if n != nil {
		ways = append(ways, "`nodeName`")
		c.Subdomain(at.Child("nodeName"), *n)
	}
	if n := s.NodeSelector; n != nil {
		ways = append(ways, "`nodeSelector`")
		c.NodeSelector(at.Child("nodeSelector"), n, false)
		if len(n.NodeSelectorTerms) != 1 {
			c.Invalid(at.Child("nodeSelector", "nodeSelectorTerms"), n.NodeSelectorTerms, "must have exactly one node selector term")
		}
	}
	ways = c.flag(ways, at.Child("allNodes"), "`allNodes`", s.AllNodes)
	ways = c.flag(ways, at.Child("perDeviceNodeSelection"), "`perDeviceNodeSelection`", s.PerDeviceNodeSelection)
	c.oneWay(at, ways, "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
		", but multiple fields are set")
}

// flag adds a way if it is chosen; false is no choice.
func (c *sliceCheck) flag(ways []string, at *field.Path, name string, value *bool) []string {
	if value == nil {
		return ways
	}
	if !*value {
		c.Invalid(at, *value, "must be either unset or set to true")
		return ways
	}
	return append(ways, name)
}

func (c *sliceCheck) oneWay(at *field.Path, ways []string, rule, several string) {
	switch len(ways) {
	case 0:
		c.Required(at, rule)
	case 1:
	default:
		c.Invalid(at, fmt.Sprintf("{%s}", strings.Join(ways, ", ")), rule+several)
	}
}

// advanced: devices with taints or counters cost more to schedule, and fewer of them fit.
func advanced(devices []resourcev1.Device) bool {
	for i := range devices {
		if len(devices[i].Taints)+len(devices[i].ConsumesCounters) > 0 {
			return true
		}
	}
	return false
}

func (c *sliceCheck) counters(at *field.Path, m map[string]resourcev1.Counter, most int) {
	if len(m) == 0 {
		c.Required(at, "")
		return
	}
	entries(&c.list, at, m, most, func(at *field.Path, name string) { c.Label(at, name) }, nil)
}
