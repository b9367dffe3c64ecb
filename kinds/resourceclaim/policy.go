package resourceclaim

import (
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mostValues are as many as a policy may list.
const mostValues = 10

// policy checks which parts of a capacity may be asked for: some values, or a range with a step.
func (c *sliceCheck) policy(at *field.Path, capacity resource.Quantity, p *resourcev1.CapacityRequestPolicy) {
	switch {
	case len(p.ValidValues) > 0 && p.ValidRange != nil:
		c.Forbidden(at, `exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time`)
	case len(p.ValidValues) > 0 && p.Default == nil:
		c.Required(at.Child("default"), "required when validValues is defined")
	case len(p.ValidValues) > 0:
		c.policyValues(at.Child("validValues"), capacity, p.ValidValues, *p.Default)
	case p.ValidRange != nil && p.Default == nil:
		c.Required(at.Child("default"), "required when validRange is defined")
	case p.ValidRange != nil:
		c.policyRange(at.Child("validRange"), capacity, p.ValidRange, *p.Default)
	}
}

func (c *sliceCheck) policyValues(at *field.Path, capacity resource.Quantity, values []resource.Quantity, standard resource.Quantity) {
	for i := 1; i < len(values); i++ {
		if values[i-1].Cmp(values[i]) > 0 {
			c.Invalid(at.Index(i), values[i].String(), "values must be sorted in ascending order")
		}
	}
	found := false
	set(&c.list, at, values, mostValues,
		func(q *resource.Quantity) int64 { return q.Value() },
		func(at *field.Path, q *resource.Quantity) {
			if q.Cmp(capacity) > 0 {
				c.Invalid(at, q.String(), "option is larger than capacity value: "+capacity.String())
			}
			found = found || q.Cmp(standard) == 0
		})
	if !found {
		c.Invalid(at, standard.String(), "default value is not valid according to the requestPolicy")
	}
}

func (c *sliceCheck) policyRange(at *field.Path, capacity resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, standard resource.Quantity) {
	least, most := at.Child("min"), at.Child("max")
	if r.Min == nil {
		c.Required(least, "required when validRange is defined")
		return
	}
	if r.Min.Cmp(capacity) > 0 {
		c.Invalid(least, r.Min.String(), "min is larger than capacity value: "+capacity.String())
	}
	if standard.Cmp(*r.Min) < 0 {
		c.Invalid(least, standard.String(), "default is less than min: "+r.Min.String())
	}
	if r.Max != nil {
		if r.Min.Cmp(*r.Max) > 0 {
			c.Invalid(most, r.Min.String(), "min is larger than max: "+r.Max.String())
		}
		if r.Max.Cmp(capacity) > 0 {
			c.Invalid(most, r.Max.String(), "max is larger than capacity value: "+capacity.String())
		}
		if standard.Cmp(*r.Max) > 0 {
			c.Invalid(most, standard.String(), "default is more than max: "+r.Max.String())
		}
	}
	if r.Step != nil {
		c.policyStep(at.Child("step"), capacity, r, standard)
	}
}

func (c *sliceCheck) policyStep(at *field.Path, capacity resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, standard resource.Quantity) {
	if r.Step.Sign() <= 0 {
		c.Invalid(at, r.Step.String(), "must be greater than zero")
		return
	}
	first := r.Min.DeepCopy()
	first.Add(*r.Step)
	if first.Cmp(capacity) > 0 {
		c.Invalid(at, r.Step.String(), fmt.Sprintf("one step %s is larger than capacity value: %s", first.String(), capacity.String()))
	}
	for _, q := range []*resource.Quantity{&standard, r.Max} {
		if q != nil && (q.Value()-r.Min.Value())%r.Step.Value() != 0 {
			c.Invalid(at, q.String(), fmt.Sprintf("value is not a multiple of a given step (%s) from (%s)", r.Step.String(), r.Min.String()))
		}
	}
}
