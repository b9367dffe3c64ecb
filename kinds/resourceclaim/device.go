package resourceclaim

import (
	"fmt"
	"regexp"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *sliceCheck) device(at *field.Path, d *resourcev1.Device) {
	c.Label(at.Child("name"), d.Name)
	const most = resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice
	if n := len(d.Attributes) + len(d.Capacity); n > most {
		c.Invalid(at, n, fmt.Sprintf("the total number of attributes and capacities must not exceed %d", most))
	}
	entries(&c.list, at.Child("attributes"), d.Attributes, -1, c.qualified, c.attribute)
	entries(&c.list, at.Child("capacity"), d.Capacity, -1, c.qualified, func(at *field.Path, capacity resourcev1.DeviceCapacity) {
		policy := at.Child("requestPolicy")
		switch {
		case capacity.RequestPolicy == nil:
		case isTrue(d.AllowMultipleAllocations):
			c.policy(policy, capacity.Value, capacity.RequestPolicy)
		default:
			c.Forbidden(policy, "allowMultipleAllocations must be true")
		}
	})
	if old := c.before(d.Name); old == nil || !apiequality.Semantic.DeepEqual(old.Taints, d.Taints) {
		each(&c.list, at.Child("taints"), d.Taints, resourcev1.DeviceTaintsMaxLength,
			func(at *field.Path, t *resourcev1.DeviceTaint) { c.taint(at, t, nil) })
	}
	set(&c.list, at.Child("consumesCounters"), d.ConsumesCounters, resourcev1.ResourceSliceMaxDeviceCounterConsumptionsPerDevice,
		func(u *resourcev1.DeviceCounterConsumption) string { return u.CounterSet },
		func(at *field.Path, u *resourcev1.DeviceCounterConsumption) {
			c.named(at.Child("counterSet"), u.CounterSet)
			c.counters(at.Child("counters"), u.Counters, resourcev1.ResourceSliceMaxCountersPerDeviceCounterConsumption)
		})
	c.deviceWhere(at, d)
	c.bindingConditions(at, d.BindingConditions, d.BindingFailureConditions)
}

// before is the device of a name as it was, or nil.
func (c *sliceCheck) before(name string) *resourcev1.Device {
	if c.old == nil {
		return nil
	}
	for i := range c.old.Devices {
		if c.old.Devices[i].Name == name {
			return &c.old.Devices[i]
		}
	}
	return nil
}

func (c *sliceCheck) deviceWhere(at *field.Path, d *resourcev1.Device) {
	if !c.perDevice {
		if d.NodeName != nil || d.NodeSelector != nil || d.AllNodes != nil {
			c.Invalid(at, nil, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec")
		}
		return
	}
	var ways []string
	if n := d.NodeName; n != nil && *n == "" {
		c.Invalid(at.Child("nodeName"), *n, "must not be empty")
	} else if n != nil {
		ways = append(ways, "`nodeName`")
		c.Subdomain(at.Child("nodeName"), *n)
	}
	if d.NodeSelector != nil {
		ways = append(ways, "`nodeSelector`")
		c.NodeSelector(at.Child("nodeSelector"), d.NodeSelector, false)
	}
	ways = c.flag(ways, at.Child("allNodes"), "`allNodes`", d.AllNodes)
	c.oneWay(at, ways, "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec", "")
}

// semver is a version as semver.org has it: three numbers, perhaps a pre-release, perhaps a build.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

func (c *sliceCheck) attribute(at *field.Path, a resourcev1.DeviceAttribute) {
	values := 0
	if a.BoolValue != nil {
		values++
	}
	if a.IntValue != nil {
		values++
	}
	if a.StringValue != nil {
		values++
		c.short(at.Child("string"), *a.StringValue)
	}
	if v := a.VersionValue; v != nil {
		values++
		if !semver.MatchString(*v) {
			c.Invalid(at.Child("version"), *v, "must be a string compatible with semver.org spec 2.0.0")
		}
		c.short(at.Child("version"), *v)
	}
	switch values {
	case 0:
		c.Invalid(at, "", "exactly one value must be specified")
	case 1:
	default:
		c.Invalid(at, a, "exactly one value must be specified")
	}
}

func (c *sliceCheck) short(at *field.Path, text string) {
	if len(text) > resourcev1.DeviceAttributeMaxValueLength {
		c.Add(field.TooLong(at, "", resourcev1.DeviceAttributeMaxValueLength))
	}
}

// bindingConditions come in pairs of lists that share nothing: what must become true, and what must not.
func (l *list) bindingConditions(at *field.Path, good, bad []string) {
	goodAt, badAt := at.Child("bindingConditions"), at.Child("bindingFailureConditions")
	label := func(at *field.Path, name *string) { l.LabelKey(at, *name) }
	each(l, goodAt, good, resourcev1.BindingConditionsMaxSize, label)
	each(l, badAt, bad, resourcev1.BindingFailureConditionsMaxSize, label)
	for i, name := range good {
		if slices.Contains(good[:i], name) {
			l.Duplicate(goodAt.Index(i), name)
		}
	}
	for i, name := range bad {
		if slices.Contains(bad[:i], name) {
			l.Duplicate(badAt.Index(i), name)
		}
		if slices.Contains(good, name) {
			l.Invalid(badAt.Index(i), name, "bindingFailureConditions must not overlap with bindingConditions")
		}
	}
	if len(good) == 0 && len(bad) > 0 {
		l.Invalid(goodAt, good, "bindingConditions are required to use bindingFailureConditions")
	}
	if len(bad) == 0 && len(good) > 0 {
		l.Invalid(badAt, bad, "bindingFailureConditions are required to use bindingConditions")
	}
}
