package resourceclaim

import (
	"context"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

// taintRules taint devices whose slices somebody else writes.
func taintRules() apiserver.Kind {
	doc := resourcev1.DeviceTaint{}.SwaggerDoc()
	return apiserver.Define[*resourcev1.DeviceTaintRule, *resourcev1.DeviceTaintRuleList](gv,
		apiserver.Names{Kind: "DeviceTaintRule", Resource: "devicetaintrules", Cluster: true},
		apiserver.Rules[*resourcev1.DeviceTaintRule]{
			Default: func(r *resourcev1.DeviceTaintRule) { defaultTaint(&r.Spec.Taint) },
			PrepareForUpdate: func(_ context.Context, r, old *resourcev1.DeviceTaintRule) {
				now, was := &r.Spec.Taint, &old.Spec.Taint
				if now.Effect != was.Effect && now.TimeAdded.Equal(was.TimeAdded) {
					now.TimeAdded = thisSecond()
				}
			},
			Validate: func(_ context.Context, r *resourcev1.DeviceTaintRule) field.ErrorList {
				return validateTaintRule(r, nil)
			},
			ValidateUpdate: func(_ context.Context, r, old *resourcev1.DeviceTaintRule) field.ErrorList {
				return validateTaintRule(r, &old.Spec.Taint)
			},
			HasStatus:        true,
			PrepareForStatus: func(_ context.Context, r, old *resourcev1.DeviceTaintRule) { metav1.ResetObjectMetaForStatus(r, old) },
			ValidateStatusUpdate: func(_ context.Context, r, _ *resourcev1.DeviceTaintRule) field.ErrorList {
				at := field.NewPath("status", "conditions")
				errs := unversioned.ValidateConditions(r.Status.Conditions, at)
				if n := len(r.Status.Conditions); n > resourcev1.DeviceTaintRuleStatusMaxConditions {
					errs = append(errs, field.TooMany(at, n, resourcev1.DeviceTaintRuleStatusMaxConditions))
				}
				return errs
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Key", doc["key"]), table.Column("Value", doc["value"]), table.Column("Effect", doc["effect"]),
				table.Column("TimeAdded", doc["timeAdded"]), table.Age(),
			},
			Cells: func(r *resourcev1.DeviceTaintRule) []any {
				t, added := &r.Spec.Taint, ""
				if t.TimeAdded != nil {
					added = table.Since(*t.TimeAdded)
				}
				return []any{t.Key, t.Value, string(t.Effect), added, table.Since(r.CreationTimestamp)}
			},
		})
}

// thisSecond is the time as it can be encoded.
func thisSecond() *metav1.Time { return &metav1.Time{Time: time.Now().Truncate(time.Second)} }

func defaultTaint(t *resourcev1.DeviceTaint) {
	if t.TimeAdded == nil {
		t.TimeAdded = thisSecond()
	}
}

func validateTaintRule(r *resourcev1.DeviceTaintRule, old *resourcev1.DeviceTaint) field.ErrorList {
	var l list
	at := field.NewPath("spec")
	if s := r.Spec.DeviceSelector; s != nil {
		at := at.Child("deviceSelector")
		if s.Driver != nil {
			l.driver(at.Child("driver"), *s.Driver)
		}
		if s.Pool != nil {
			l.pool(at.Child("pool"), *s.Pool)
		}
		if s.Device != nil {
			l.Label(at.Child("device"), *s.Device)
		}
	}
	l.taint(at.Child("taint"), &r.Spec.Taint, old)
	return l.Errors()
}

// Effects of taints.
func taintEffects() []resourcev1.DeviceTaintEffect {
	return []resourcev1.DeviceTaintEffect{resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNone}
}

// taint checks one; old is what was there, or nil. An effect that was there may stay.
func (l *list) taint(at *field.Path, t, old *resourcev1.DeviceTaint) {
	l.LabelKey(at.Child("key"), t.Key)
	if t.Value != "" {
		l.Each(at.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))
	}
	if old == nil || old.Effect != t.Effect {
		check.OneOf(&l.List, at.Child("effect"), t.Effect, taintEffects()...)
	}
}

func (l *list) toleration(at *field.Path, t *resourcev1.DeviceToleration) {
	if t.Key != "" {
		l.LabelKey(at.Child("key"), t.Key)
	}
	value := at.Child("value")
	switch t.Operator {
	case resourcev1.DeviceTolerationOpExists:
		if t.Value != "" {
			l.Invalid(value, t.Value, "must be empty for operator `Exists`")
		}
	case resourcev1.DeviceTolerationOpEqual:
		l.Each(value, t.Value, validation.IsValidLabelValue(t.Value))
	default:
		check.OneOf(&l.List, at.Child("operator"), t.Operator, resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists)
	}
	if t.Effect != "" {
		check.Known(&l.List, at.Child("effect"), t.Effect, taintEffects()...)
	}
}
