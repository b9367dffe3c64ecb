package endpoints

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func endpointsOf(t *testing.T, text string) *corev1.Endpoints {
	t.Helper()
	e := &corev1.Endpoints{}
	if err := yaml.UnmarshalStrict([]byte(text), e); err != nil {
		t.Fatal(err)
	}
	Default(e)
	return e
}

func TestValidateSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	for text, want := range map[string][]string{
		`{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]}`: nil,
		`{subsets: [{ports: [{port: 80}]}]}`:                              {"subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"},
		`{subsets: [{addresses: [{ip: 169.254.0.1}]}]}`:                   {`subsets[0].addresses[0].ip: Invalid value: "169.254.0.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)`},
		`{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 1}, {name: b, port: 2}]}]}`: {
			`subsets[0].ports[0].name: Required value`},
	} {
		var got []string
		for _, err := range validate(endpointsOf(t, text)) {
			got = append(got, err.Error())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

func TestSummary(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "<none>",
		`{subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {name: b, port: 81}]}]}`: "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...",
		`{subsets: [{addresses: [{ip: 10.0.0.1}]}]}`:                                                           "10.0.0.1",
	} {
		if got := summary(endpointsOf(t, text)); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
}
