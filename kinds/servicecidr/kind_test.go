package servicecidr

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func rangeOf(name string, cidrs ...string) *networkingv1.ServiceCIDR {
	return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs}}
}

func addressOf(name string, ref *networkingv1.ParentReference) *networkingv1.IPAddress {
	return &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IPAddressSpec{ParentRef: ref}}
}

func expect(t *testing.T, about any, errs field.ErrorList, want ...string) {
	t.Helper()
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("%v:\n got %q\nwant %q", about, got, want)
	}
}

func TestRanges(t *testing.T) {
	for cidrs, want := range map[string]string{
		"10.0.0.0/8":                "",
		"10.0.0.0/8 fd00::/64":      "",
		"":                          "spec.cidrs: Required value: at least one CIDR required",
		"10.0.0.0/8 a b":            "spec.cidrs: Invalid value",
		"10.0.0.1/8":                `spec.cidrs[0]: Invalid value: "10.0.0.1/8"`,
		"10.0.0.0/8 11.0.0.0/8":     "spec.cidrs: Invalid value",
		"::ffff:10.0.0.0/104":       "spec.cidrs[0]: Invalid value",
		"2001:db8:0:0::/64 a.b.c.d": `spec.cidrs[0]: Invalid value: "2001:db8:0:0::/64": must be in canonical form ("2001:db8::/64")`,
	} {
		errs := validateRange(rangeOf("a", strings.Fields(cidrs)...))
		if len(errs) > 1 {
			errs = errs[:1]
		}
		if want == "" {
			expect(t, cidrs, errs)
			continue
		}
		expect(t, cidrs, errs, want)
	}
}

func TestOnlyASecondFamilyMayCome(t *testing.T) {
	one := rangeOf("a", "10.0.0.0/8")
	expect(t, "same", validateRangeUpdate(one, one))
	expect(t, "second", validateRangeUpdate(rangeOf("a", "10.0.0.0/8", "fd00::/64"), one))
	expect(t, "other", validateRangeUpdate(rangeOf("a", "11.0.0.0/8"), one), `spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable`)
	expect(t, "none", validateRangeUpdate(rangeOf("a"), one), "spec.cidrs: Invalid value: null: field is immutable")
}

func TestAddresses(t *testing.T) {
	service := &networkingv1.ParentReference{Resource: "services", Namespace: "n", Name: "s"}
	expect(t, "service", validateAddress(addressOf("10.0.0.1", service)))
	expect(t, "no parent", validateAddress(addressOf("10.0.0.1", nil)), "spec.parentRef: Required value")
	expect(t, "empty parent", validateAddress(addressOf("10.0.0.1", &networkingv1.ParentReference{Group: "-", Namespace: "a/b"})),
		`spec.parentRef.group: Invalid value: "-"`, "spec.parentRef.resource: Required value", "spec.parentRef.name: Required value",
		`spec.parentRef.namespace: Invalid value: "a/b": may not contain '/'`)
	other := *service
	other.Name = "t"
	expect(t, "changed", validateAddressUpdate(addressOf("10.0.0.1", &other), addressOf("10.0.0.1", service)), "spec.parentRef: Invalid value")
	if got := parent(service); got != "services/n/s" {
		t.Errorf("printed as %s", got)
	}
	if len(validateAddressName("010.0.0.1")) == 0 || len(validateAddressName("fd00::1")) != 0 {
		t.Error("names must be canonical addresses")
	}
}

func TestWhichRangesAreNeeded(t *testing.T) {
	old, all := rangeOf("old", "10.0.0.0/24"), []*networkingv1.IPAddress{addressOf("10.0.0.9", nil)}
	for name, c := range map[string]struct {
		others    []*networkingv1.ServiceCIDR
		addresses []*networkingv1.IPAddress
		want      bool
	}{
		"alone":          {nil, all, true},
		"unused":         {nil, nil, false},
		"covered":        {[]*networkingv1.ServiceCIDR{rangeOf("big", "10.0.0.0/16")}, all, false},
		"address kept":   {[]*networkingv1.ServiceCIDR{rangeOf("small", "10.0.0.8/29")}, all, false},
		"address orphan": {[]*networkingv1.ServiceCIDR{rangeOf("small", "10.0.0.16/29")}, all, true},
	} {
		if got := needed(old, append(c.others, old), c.addresses); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
