package endpointslice

import (
	"slices"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"
)

func sliceOf(t *testing.T, text string) *discoveryv1.EndpointSlice {
	t.Helper()
	s := &discoveryv1.EndpointSlice{}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	Default(s)
	return s
}

func text(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func TestValidateSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	for name, c := range map[string]struct {
		slice string
		want  []string
	}{
		"good": {`{addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [10.0.0.1]}]}`, nil},
		"type": {`{addressType: Odd, endpoints: []}`, []string{
			`addressType: Unsupported value: "Odd": supported values: "FQDN", "IPv4", "IPv6"`}},
		"no address": {`{addressType: IPv4, endpoints: [{addresses: []}]}`, []string{
			`endpoints[0].addresses: Required value: must contain at least 1 address`}},
		"family": {`{addressType: IPv4, endpoints: [{addresses: ["fd00::1"]}]}`, []string{
			`endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address`}},
		"loopback": {`{addressType: IPv4, endpoints: [{addresses: [127.0.0.1]}]}`, []string{
			`endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`}},
		"same port name": {`{addressType: IPv4, ports: [{port: 1}, {port: 2}], endpoints: []}`, []string{
			`ports[1].name: Duplicate value: ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(validate(sliceOf(t, c.slice), nil)); !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestAddressTypeIsImmutable(t *testing.T) {
	old, now := sliceOf(t, `{addressType: IPv4, endpoints: []}`), sliceOf(t, `{addressType: IPv6, endpoints: []}`)
	want := []string{`addressType: Invalid value: "IPv6": field is immutable`}
	if got := text(validateUpdate(t.Context(), now, old)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestGenerationCountsChangesOfContents(t *testing.T) {
	old := sliceOf(t, `{metadata: {generation: 4}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}]}`)
	same, changed := old.DeepCopy(), old.DeepCopy()
	same.Annotations = map[string]string{"a": "b"}
	changed.Endpoints[0].Addresses[0] = "10.0.0.2"
	prepareForUpdate(t.Context(), same, old)
	prepareForUpdate(t.Context(), changed, old)
	if same.Generation != 4 || changed.Generation != 5 {
		t.Errorf("generations %d, %d", same.Generation, changed.Generation)
	}
}

func TestColumns(t *testing.T) {
	s := sliceOf(t, `{addressType: IPv4, ports: [{port: 80}, {name: b, port: 81}], endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4]}]}`)
	want := []any{"IPv4", "80,81", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "<unknown>"}
	if got := cells(s); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := cells(sliceOf(t, `{addressType: IPv4, endpoints: []}`)); got[1] != "<unset>" {
		t.Errorf("empty: %v", got)
	}
}

func FuzzRulesNeverPanic(f *testing.F) {
	for seed := range 50 {
		f.Add(int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		var now, old discoveryv1.EndpointSlice
		fill := randfill.NewWithSeed(seed).NilChance(0.5).NumElements(0, 3)
		fill.Fill(&now)
		fill.Fill(&old)
		validateUpdate(t.Context(), &now, &old)
		Default(&now)
		prepareForUpdate(t.Context(), &now, &old)
		cells(&now)
	})
}
