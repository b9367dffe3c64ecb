package resourceclaim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	devicecel "k8s.io/dynamic-resource-allocation/cel"

	"dhow/api/check"
)

// claimCheck checks what a claim asks for, and what it was given.
type claimCheck struct {
	list
	requests map[string][]string // names of sub-requests by name of the request
}

func (c *claimCheck) gather(d *resourcev1.DeviceClaim) {
	c.requests = map[string][]string{}
	for _, r := range d.Requests {
		c.requests[r.Name] = nil
		for _, sub := range r.FirstAvailable {
			c.requests[r.Name] = append(c.requests[r.Name], sub.Name)
		}
	}
}

func (c *claimCheck) spec(at *field.Path, d *resourcev1.DeviceClaim) {
	c.gather(d)
	set(&c.list, at.Child("requests"), d.Requests, resourcev1.DeviceRequestsMaxSize,
		func(r *resourcev1.DeviceRequest) string { return r.Name }, c.request)
	each(&c.list, at.Child("constraints"), d.Constraints, resourcev1.DeviceConstraintsMaxSize, c.constraint)
	each(&c.list, at.Child("config"), d.Config, resourcev1.DeviceConfigMaxSize, func(at *field.Path, config *resourcev1.DeviceClaimConfiguration) {
		c.references(at.Child("requests"), config.Requests)
		c.configuration(at, &config.DeviceConfiguration, false)
	})
}

func (c *claimCheck) request(at *field.Path, r *resourcev1.DeviceRequest) {
	c.Label(at.Child("name"), r.Name)
	switch {
	case r.Exactly == nil && len(r.FirstAvailable) == 0:
		c.Required(at, "exactly one of `exactly` or `firstAvailable` is required")
	case r.Exactly != nil && len(r.FirstAvailable) > 0:
		c.Invalid(at, nil, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set")
	case r.Exactly != nil:
		e := r.Exactly
		c.wanted(at.Child("exactly"), wanted{e.DeviceClassName, e.Selectors, e.AllocationMode, e.Count, e.Tolerations})
	default:
		set(&c.list, at.Child("firstAvailable"), r.FirstAvailable, resourcev1.FirstAvailableDeviceRequestMaxSize,
			func(s *resourcev1.DeviceSubRequest) string { return s.Name },
			func(at *field.Path, s *resourcev1.DeviceSubRequest) {
				c.Label(at.Child("name"), s.Name)
				c.wanted(at, wanted{s.DeviceClassName, s.Selectors, s.AllocationMode, s.Count, s.Tolerations})
			})
	}
}

// wanted is what requests and sub-requests have in common.
type wanted struct {
	class       string
	selectors   []resourcev1.DeviceSelector
	mode        resourcev1.DeviceAllocationMode
	count       int64
	tolerations []resourcev1.DeviceToleration
}

func (c *claimCheck) wanted(at *field.Path, w wanted) {
	if class := at.Child("deviceClassName"); c.NonEmpty(class, w.class) {
		c.Subdomain(class, w.class)
	}
	c.selectors(at.Child("selectors"), w.selectors, false)
	count := at.Child("count")
	switch w.mode {
	case resourcev1.DeviceAllocationModeAll:
		if w.count != 0 {
			c.Invalid(count, w.count, fmt.Sprintf("must not be specified when allocationMode is '%s'", w.mode))
		}
	case resourcev1.DeviceAllocationModeExactCount:
		c.Positive(count, w.count)
	default:
		check.Known(&c.List, at.Child("allocationMode"), w.mode, resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount)
	}
	for i := range w.tolerations {
		c.toleration(at.Child("tolerations").Index(i), &w.tolerations[i])
	}
}

func (l *list) selectors(at *field.Path, all []resourcev1.DeviceSelector, stored bool) {
	each(l, at, all, resourcev1.DeviceSelectorsMaxSize, func(at *field.Path, s *resourcev1.DeviceSelector) {
		if s.CEL == nil {
			l.Required(at.Child("cel"), "")
			return
		}
		l.expression(at.Child("cel", "expression"), s.CEL.Expression, stored)
	})
}

// expression requires one that compiles to a truth value, and whose cost is bearable.
func (l *list) expression(at *field.Path, text string, stored bool) {
	if len(text) > resourcev1.CELSelectorExpressionMaxLength {
		l.Add(field.TooLong(at, "", resourcev1.CELSelectorExpressionMaxLength))
		return
	}
	env := environment.NewExpressions
	if stored {
		env = environment.StoredExpressions
	}
	result := devicecel.GetCompiler(devicecel.Features{EnableConsumableCapacity: true}).
		CompileCELExpression(text, devicecel.Options{EnvType: &env})
	switch {
	case result.Error != nil:
		l.Add(celError(at, text, result.Error))
	case result.MaxCost > resourcev1.CELSelectorExpressionMaxCost:
		l.Forbidden(at, "too complex, exceeds cost limit")
	}
}

func celError(at *field.Path, text string, err error) *field.Error {
	var why *cel.Error
	if !errors.As(err, &why) {
		return field.InternalError(at, fmt.Errorf("unsupported error type: %w", err))
	}
	switch why.Type {
	case cel.ErrorTypeRequired:
		return field.Required(at, why.Detail)
	case cel.ErrorTypeInvalid:
		return field.Invalid(at, text, why.Detail)
	}
	return field.InternalError(at, why)
}

func (c *claimCheck) constraint(at *field.Path, d *resourcev1.DeviceConstraint) {
	c.references(at.Child("requests"), d.Requests)
	switch {
	case d.MatchAttribute != nil:
		c.fullyQualified(at.Child("matchAttribute"), *d.MatchAttribute)
	case d.DistinctAttribute != nil:
		c.fullyQualified(at.Child("distinctAttribute"), *d.DistinctAttribute)
	default:
		c.Required(at, `exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set`)
	}
}

// references checks names of requests: each once, and among the claim's.
func (c *claimCheck) references(at *field.Path, names []string) {
	set(&c.list, at, names, resourcev1.DeviceRequestsMaxSize, itself, func(at *field.Path, name *string) { c.reference(at, *name) })
}

// reference allows "request" and "request/subrequest".
func (c *claimCheck) reference(at *field.Path, name string) {
	const wrong = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
	parts := strings.Split(name, "/")
	if len(parts) > 2 {
		c.Invalid(at, name, wrong)
		return
	}
	for _, part := range parts {
		c.Label(at, part)
	}
	subs, known := c.requests[parts[0]]
	if !known || len(parts) == 2 && !slices.Contains(subs, parts[1]) {
		c.Invalid(at, name, wrong)
	}
}

func (l *list) configuration(at *field.Path, d *resourcev1.DeviceConfiguration, stored bool) {
	if d.Opaque == nil {
		l.Required(at.Child("opaque"), "")
		return
	}
	l.driver(at.Child("opaque", "driver"), d.Opaque.Driver)
	l.object(at.Child("opaque", "parameters"), d.Opaque.Parameters, stored, resourcev1.OpaqueParametersMaxLength)
}
