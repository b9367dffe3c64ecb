//go:build sharedcheck

package store

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAWriteToASharedObjectIsFound(t *testing.T) {
	var o originals
	innocent, victim := &corev1.ConfigMap{Data: map[string]string{"a": "1"}}, &corev1.ConfigMap{Data: map[string]string{"a": "1"}}
	o.remember(innocent)
	o.remember(victim)
	victim.Data["a"] = "2"
	if how := o.changed(innocent); how != "" {
		t.Errorf("of an object that nobody wrote to: %s", how)
	}
	if how := o.changed(victim); !strings.Contains(how, "shared *v1.ConfigMap") {
		t.Errorf("of one that somebody wrote to: %q", how)
	}
}
