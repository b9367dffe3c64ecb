package flowcontrol

import (
	"fmt"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	flowcontrolv1beta3 "k8s.io/api/flowcontrol/v1beta3"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/util/shufflesharding"

	"dhow/api/check"
)

func validateLevel(p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	var l check.List
	const key = flowcontrolv1beta3.PriorityLevelPreserveZeroConcurrencySharesKey
	if _, ok := p.Annotations[key]; ok {
		l.Forbidden(field.NewPath("metadata", "annotations"), "annotation '"+key+"' is forbidden")
	}
	at := field.NewPath("spec")
	levelSpec(&l, at, p)
	fixedLevel(&l, at, p)
	l.Add(levelStatus(p)...)
	return l.Errors()
}

// fixedLevel: of the mandatory levels, only what 'exempt' says about exemption may be changed.
func fixedLevel(l *check.List, at *field.Path, p *flowcontrolv1.PriorityLevelConfiguration) {
	fixed := mandatoryLevel(p.Name)
	if fixed == nil {
		return
	}
	have, but := p.Spec, ""
	if p.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt {
		have.Exempt, but = fixed.Spec.Exempt, " except the 'spec.exempt' field"
	}
	if !equality.Semantic.DeepEqual(have, fixed.Spec) {
		l.Invalid(at, p.Spec, fmt.Sprintf("spec of '%s'%s must equal the fixed value", p.Name, but))
	}
}

func levelSpec(l *check.List, at *field.Path, p *flowcontrolv1.PriorityLevelConfiguration) {
	s := &p.Spec
	if (p.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt) != (s.Type == flowcontrolv1.PriorityLevelEnablementExempt) {
		l.Invalid(at.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'")
	}
	switch s.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		if s.Limited != nil {
			l.Forbidden(at.Child("limited"), "must be nil if the type is not Limited")
		}
		if e := s.Exempt; e != nil {
			shares(l, at.Child("exempt"), e.NominalConcurrencyShares, e.LendablePercent)
		}
	case flowcontrolv1.PriorityLevelEnablementLimited:
		if s.Exempt != nil {
			l.Forbidden(at.Child("exempt"), "must be nil if the type is Limited")
		}
		if s.Limited == nil {
			l.Required(at.Child("limited"), "must not be empty when type is Limited")
		} else {
			limited(l, at.Child("limited"), s.Limited)
		}
	default:
		check.OneOf(l, at.Child("type"), s.Type, flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited)
	}
}

func shares(l *check.List, at *field.Path, nominal, lendable *int32) {
	if nominal != nil && *nominal < 0 {
		l.Invalid(at.Child("nominalConcurrencyShares"), *nominal, "must be a non-negative integer")
	}
	if lendable != nil && (*lendable < 0 || *lendable > 100) {
		l.Invalid(at.Child("lendablePercent"), *lendable, "must be between 0 and 100, inclusive")
	}
}

func limited(l *check.List, at *field.Path, c *flowcontrolv1.LimitedPriorityLevelConfiguration) {
	shares(l, at, c.NominalConcurrencyShares, c.LendablePercent)
	response(l, at.Child("limitResponse"), &c.LimitResponse)
	if p := c.BorrowingLimitPercent; p != nil && *p < 0 {
		l.Invalid(at.Child("borrowingLimitPercent"), *p, "if specified, must be a non-negative integer")
	}
}

func response(l *check.List, at *field.Path, r *flowcontrolv1.LimitResponse) {
	switch r.Type {
	case flowcontrolv1.LimitResponseTypeReject:
		if r.Queuing != nil {
			l.Forbidden(at.Child("queuing"), "must be nil if limited.limitResponse.type is not Limited")
		}
	case flowcontrolv1.LimitResponseTypeQueue:
		if r.Queuing == nil {
			l.Required(at.Child("queuing"), "must not be empty if limited.limitResponse.type is Limited")
		} else {
			queuing(l, at.Child("queuing"), r.Queuing)
		}
	default:
		check.OneOf(l, at.Child("type"), r.Type, flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject)
	}
}

const maxQueues = 10_000_000

func queuing(l *check.List, at *field.Path, q *flowcontrolv1.QueuingConfiguration) {
	if q.QueueLengthLimit <= 0 {
		l.Invalid(at.Child("queueLengthLimit"), q.QueueLengthLimit, "must be positive")
	}
	switch {
	case q.Queues <= 0:
		l.Invalid(at.Child("queues"), q.Queues, "must be positive")
	case q.Queues > maxQueues:
		l.Invalid(at.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", maxQueues))
	}
	hand := at.Child("handSize")
	switch {
	case q.HandSize <= 0:
		l.Invalid(hand, q.HandSize, "must be positive")
	case q.HandSize > q.Queues:
		l.Invalid(hand, q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues))
	default:
		if bits := shufflesharding.RequiredEntropyBits(int(q.Queues), int(q.HandSize)); bits > shufflesharding.MaxHashBits {
			l.Invalid(hand, q.HandSize, fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d",
				q.Queues, q.HandSize, shufflesharding.MaxHashBits))
		}
	}
}

func levelStatus(p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	var l check.List
	var types []string
	for _, c := range p.Status.Conditions {
		types = append(types, string(c.Type))
	}
	conditionTypes(&l, types)
	return l.Errors()
}
