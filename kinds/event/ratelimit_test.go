package event_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/admit/admittest"
	"dhow/kinds/event"
)

func TestEventsBeyondALimitAreRefused(t *testing.T) {
	p, err := event.RateLimit([]byte(`{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{type: Namespace, qps: 1, burst: 2}]}`))
	if err != nil {
		t.Fatal(err)
	}
	send := func(namespace string) error {
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: namespace}}
		return admittest.Run(t, p, admittest.Request{Object: e, Resource: "events"})
	}
	admittest.Check(t, send("a"), "")
	admittest.Check(t, send("a"), "")
	admittest.Check(t, send("a"), "limit reached on type Namespace for key a")
	admittest.Check(t, send("b"), "")
}

func TestLimitsOfEventsAreChecked(t *testing.T) {
	for config, want := range map[string]string{
		``: "limits: Invalid value: null: must not be empty",
		`{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{type: Namespace, qps: 1}]}`: "limits[0].burst: Invalid value: 0: must be positive",
		`{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{kind: Server}]}`:            `unknown field "kind"`,
		`{apiVersion: v1, kind: Pod}`: `it must be apiVersion "eventratelimit.admission.k8s.io/v1alpha1", kind "Configuration"`,
	} {
		_, err := event.RateLimit([]byte(config))
		admittest.Check(t, err, want)
	}
}
