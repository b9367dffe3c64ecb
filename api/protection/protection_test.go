package protection

import (
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFinalizersStayWhileAnObjectIsUsed(t *testing.T) {
	now := metav1.Now()
	broken := errors.New("no answer")
	for name, c := range map[string]struct {
		have   []string
		goes   bool
		used   bool
		err    error
		want   []string
		change bool
	}{
		"new":              {have: []string{"x"}, want: []string{"x", Claim}, change: true},
		"protected":        {have: []string{Claim}, used: true, want: []string{Claim}},
		"goes, in use":     {have: []string{Claim, "x"}, goes: true, used: true, want: []string{Claim, "x"}},
		"goes, unused":     {have: []string{Claim, "x"}, goes: true, want: []string{"x"}, change: true},
		"goes unprotected": {have: []string{"x"}, goes: true, want: []string{"x"}},
		"nobody can say":   {have: []string{Claim}, goes: true, err: broken, want: []string{Claim}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Finalizers: c.have}}
			if c.goes {
				obj.DeletionTimestamp = &now
			}
			before := slices.Clone(c.have)
			got, change, err := Plan(obj, Claim, func() (bool, error) { return c.used, c.err })
			if !slices.Equal(got, c.want) || change != c.change || !errors.Is(err, c.err) {
				t.Errorf("%q, %t, %v", got, change, err)
			}
			if !slices.Equal(obj.Finalizers, before) {
				t.Error("the object itself was changed")
			}
		})
	}
}
