package event

import (
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// Longest texts of an event.
const (
	maxInstance = 128
	maxAction   = 128
	maxReason   = 128
	maxNote     = 1024
)

// validate checks a new event. Those of core/v1, which came first, may be poorer.
func validate(e *corev1.Event, gv schema.GroupVersion) field.ErrorList {
	var l check.List
	common(&l, e, gv)
	if gv == corev1.SchemeGroupVersion {
		return l.Errors()
	}
	l.Subdomain(field.NewPath("metadata", "name"), e.Name)
	series(&l, e)
	if e.EventTime.IsZero() {
		l.Required(field.NewPath("eventTime"), "")
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		l.Invalid(field.NewPath("type"), "", fmt.Sprintf("has invalid value: %v", e.Type))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"firstTimestamp", !e.FirstTimestamp.IsZero()}, {"lastTimestamp", !e.LastTimestamp.IsZero()},
		{"count", e.Count != 0}, {"source", e.Source != corev1.EventSource{}},
	} {
		if f.set {
			l.Invalid(field.NewPath(f.name), "", "needs to be unset")
		}
	}
	return l.Errors()
}

func series(l *check.List, e *corev1.Event) {
	if e.Series == nil {
		return
	}
	if e.Series.Count < 2 {
		l.Invalid(field.NewPath("series.count"), "", "should be at least 2")
	}
	if e.Series.LastObservedTime.IsZero() {
		l.Required(field.NewPath("series.lastObservedTime"), "")
	}
}

func common(l *check.List, e *corev1.Event, gv schema.GroupVersion) {
	about, where := e.InvolvedObject.Namespace, e.Namespace
	elsewhere := func() {
		l.Invalid(field.NewPath("involvedObject", "namespace"), about, "does not match event.namespace")
	}
	l.Subdomain(field.NewPath("namespace"), where)
	if e.EventTime.IsZero() {
		if about != where && (about != "" || where != metav1.NamespaceDefault) {
			elsewhere()
		}
		return
	}
	if about == "" && where != metav1.NamespaceDefault && where != metav1.NamespaceSystem {
		elsewhere()
	}
	controller := field.NewPath("reportingController")
	if gv == corev1.SchemeGroupVersion {
		controller = field.NewPath("reportingComponent")
	}
	l.NonEmpty(controller, e.ReportingController)
	l.Qualified(controller, e.ReportingController)
	bounded(l, "reportingInstance", e.ReportingInstance, maxInstance, true)
	bounded(l, "action", e.Action, maxAction, true)
	bounded(l, "reason", e.Reason, maxReason, true)
	bounded(l, "message", e.Message, maxNote, false)
}

func bounded(l *check.List, name, text string, most int, required bool) {
	at := field.NewPath(name)
	if required {
		l.NonEmpty(at, text)
	}
	if len(text) > most {
		l.Invalid(at, "", fmt.Sprintf("can have at most %v characters", most))
	}
}

// validateUpdate: of an event of events.k8s.io only its series goes on.
func validateUpdate(e, old *corev1.Event, gv schema.GroupVersion) field.ErrorList {
	var l check.List
	common(&l, e, gv)
	if gv == corev1.SchemeGroupVersion {
		return l.Errors()
	}
	if !reflect.DeepEqual(e.Series, old.Series) {
		series(&l, e)
	}
	for _, f := range []struct {
		name     string
		now, old any
	}{
		{"involvedObject", e.InvolvedObject, old.InvolvedObject}, {"reason", e.Reason, old.Reason},
		{"message", e.Message, old.Message}, {"source", e.Source, old.Source},
		{"firstTimestamp", e.FirstTimestamp, old.FirstTimestamp}, {"lastTimestamp", e.LastTimestamp, old.LastTimestamp},
		{"count", e.Count, old.Count}, {"type", e.Type, old.Type}, {"action", e.Action, old.Action},
		{"related", e.Related, old.Related}, {"reportingController", e.ReportingController, old.ReportingController},
		{"reportingInstance", e.ReportingInstance, old.ReportingInstance},
	} {
		l.Immutable(field.NewPath(f.name), f.now, f.old)
	}
	if !e.EventTime.Truncate(time.Microsecond).Equal(old.EventTime.Truncate(time.Microsecond)) {
		l.Immutable(field.NewPath("eventTime"), e.EventTime, old.EventTime)
	}
	return l.Errors()
}
