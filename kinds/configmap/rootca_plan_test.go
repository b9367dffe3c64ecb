package configmap

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlanOfTheRootCA(t *testing.T) {
	with := func(data map[string]string, binary map[string][]byte) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: rootCAName, Labels: map[string]string{"kept": ""}}, Data: data, BinaryData: binary}
	}
	for name, c := range map[string]struct {
		have   *corev1.ConfigMap
		change bool
	}{
		"none":          {nil, true},
		"right":         {with(map[string]string{rootCAKey: "pem"}, nil), false},
		"another":       {with(map[string]string{rootCAKey: "old"}, nil), true},
		"emptied":       {with(nil, nil), true},
		"more than one": {with(map[string]string{rootCAKey: "pem", "x": ""}, nil), true},
		"and binary":    {with(map[string]string{rootCAKey: "pem"}, map[string][]byte{"x": nil}), true},
	} {
		t.Run(name, func(t *testing.T) {
			want := planRootCA(c.have, "pem")
			if (want != nil) != c.change {
				t.Fatalf("plan %+v", want)
			}
			if want == nil {
				return
			}
			if want.Name != rootCAName || len(want.Data) != 1 || want.Data[rootCAKey] != "pem" || len(want.BinaryData) > 0 {
				t.Errorf("plan %+v", want)
			}
			if _, kept := want.Labels["kept"]; c.have != nil && !kept {
				t.Error("its labels are lost")
			}
		})
	}
}
