package podspec

import (
	"slices"

	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// scheduling checks what the scheduler reads.
func (c *checker) scheduling(at *field.Path) {
	s := c.spec
	c.Labels(at.Child("nodeSelector"), s.NodeSelector)
	c.affinity(at.Child("affinity"))
	c.gates(at.Child("schedulingGates"))
	c.spread(at.Child("topologySpreadConstraints"))
	c.Add(ValidateTolerations(s.Tolerations, at.Child("tolerations"))...)
	if s.PreemptionPolicy != nil {
		check.Listed(&c.List, at.Child("preemptionPolicy"), *s.PreemptionPolicy, corev1.PreemptLowerPriority, corev1.PreemptNever)
	}
}

func (c *checker) gates(at *field.Path) {
	seen := sets.Set[string]{}
	for i, gate := range c.spec.SchedulingGates {
		c.Qualified(at.Index(i), gate.Name)
		if seen.Has(gate.Name) {
			c.Duplicate(at.Index(i), gate.Name)
		}
		seen.Insert(gate.Name)
	}
}

// ValidateTolerations checks which taints a pod bears.
func ValidateTolerations(tolerations []corev1.Toleration, at *field.Path) field.ErrorList {
	var l check.List
	for i := range tolerations {
		t, here := &tolerations[i], at.Index(i)
		if t.Key != "" {
			l.LabelKey(here.Child("key"), t.Key)
		} else if t.Operator != corev1.TolerationOpExists {
			l.Invalid(here.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\"")
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			l.Invalid(here.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
		}
		tolerationOperator(&l, here, t)
		if t.Effect != "" {
			CheckTaintEffect(&l, here.Child("effect"), t.Effect)
		}
	}
	return l.Errors()
}

func tolerationOperator(l *check.List, at *field.Path, t *corev1.Toleration) {
	operator := at.Child("operator")
	switch t.Operator {
	case corev1.TolerationOpEqual, "":
		if wrong := validation.IsValidLabelValue(t.Value); len(wrong) > 0 {
			l.Invalid(operator, t.Value, strings.Join(wrong, ";"))
		}
	case corev1.TolerationOpExists:
		if t.Value != "" {
			l.Invalid(operator, t.Value, "value must be empty when `operator` is 'Exists'")
		}
	case corev1.TolerationOpLt, corev1.TolerationOpGt:
		if _, err := strconv.ParseInt(t.Value, 10, 64); err != nil {
			l.Invalid(at.Child("value"), t.Value, err.Error())
		}
	default:
		check.Known(l, operator, t.Operator, corev1.TolerationOpEqual, corev1.TolerationOpExists,
			corev1.TolerationOpLt, corev1.TolerationOpGt)
	}
}

// CheckTaintEffect requires one of the three effects.
func CheckTaintEffect(l *check.List, at *field.Path, effect corev1.TaintEffect) {
	known := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
	if !slices.Contains(known, effect) {
		l.Add(field.NotSupported(at, effect, known))
	}
}
