package configmap

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		object corev1.ConfigMap
		want   []string
	}{
		"good":  {corev1.ConfigMap{Data: map[string]string{"a.conf": "x"}}, nil},
		"twice": {corev1.ConfigMap{Data: map[string]string{"a": ""}, BinaryData: map[string][]byte{"a": nil}}, []string{`data[a]: Invalid value: "a": duplicate of key present in binaryData`}},
		"big":   {corev1.ConfigMap{Data: map[string]string{"a": strings.Repeat("x", 1<<20+1)}}, []string{`[]: Too long: may not be more than 1048576 bytes`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, err := range validate(t.Context(), &c.object) {
				got = append(got, err.Error())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}
