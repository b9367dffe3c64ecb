package service_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/admit/admittest"
	"dhow/kinds/service"
)

func TestNoServiceTakesFurtherExternalIPsWhereTheyAreDenied(t *testing.T) {
	of := func(ips ...string) *corev1.Service {
		s := &corev1.Service{}
		s.Name, s.Namespace, s.Spec.ExternalIPs = "web", "default", ips
		return s
	}
	const denied = "services \"web\" is forbidden: Use of external IPs is denied by admission control"
	for name, c := range map[string]struct {
		now, old *corev1.Service
		want     string
	}{
		"none":           {of(), nil, ""},
		"one":            {of("192.0.2.1"), nil, denied},
		"the same":       {of("192.0.2.1"), of("192.0.2.1"), ""},
		"fewer":          {of("192.0.2.1"), of("192.0.2.1", "192.0.2.2"), ""},
		"in other order": {of("192.0.2.2", "192.0.2.1"), of("192.0.2.1", "192.0.2.2"), ""},
		"another":        {of("192.0.2.3"), of("192.0.2.1"), denied},
		"one more":       {of("192.0.2.1", "192.0.2.2"), of("192.0.2.1"), denied},
	} {
		t.Run(name, func(t *testing.T) {
			r := admittest.Request{Object: c.now, Resource: "services"}
			if c.old != nil {
				r.Operation, r.Old = admission.Update, c.old
			}
			admittest.Check(t, admittest.Run(t, service.DenyExternalIPs(), r), c.want)
		})
	}
}
