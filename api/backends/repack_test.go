package backends

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestRepack(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"joins the addresses of a port",
			`[{addresses: [{ip: 10.0.0.10}], ports: [{name: a, port: 80}]}, {addresses: [{ip: 10.0.0.9}], ports: [{name: a, port: 80}]}]`,
			`[{addresses: [{ip: 10.0.0.9}, {ip: 10.0.0.10}], ports: [{name: a, port: 80}]}]`},
		{"joins ports of the same addresses",
			`[{addresses: [{ip: 10.0.0.1}], ports: [{name: b, port: 81}]}, {addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}]}]`,
			`[{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}, {name: b, port: 81}]}]`},
		{"splits ports of other addresses",
			`[{addresses: [{ip: 10.0.0.1}], ports: [{name: a, port: 80}, {name: b, port: 81}]}, {addresses: [{ip: 10.0.0.2}], ports: [{name: a, port: 80}]}]`,
			`[{addresses: [{ip: 10.0.0.1}], ports: [{name: b, port: 81}]}, {addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{name: a, port: 80}]}]`},
		{"prefers not ready",
			`[{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}, {notReadyAddresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]`,
			`[{notReadyAddresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]`},
		{"keeps addresses without ports", `[{addresses: [{ip: 10.0.0.1}]}]`, `[{addresses: [{ip: 10.0.0.1}]}]`},
		{"drops what has no address", `[{ports: [{port: 80}]}]`, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := yaml.Marshal(Repack(subsets(t, test.in)))
			if err != nil {
				t.Fatal(err)
			}
			want, err := yaml.Marshal(subsets(t, test.want))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func subsets(t *testing.T, text string) []corev1.EndpointSubset {
	t.Helper()
	var all []corev1.EndpointSubset
	if err := yaml.UnmarshalStrict([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}
