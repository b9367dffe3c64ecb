package networks

import (
	"net/netip"
	"strings"
	"testing"
)

func TestSubnetsAreCheckedAndCompleted(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	others := []*Network{{Name: "other", Subnet: p("10.9.0.0/24"), Subnet6: p("fd00:9::/64")}}
	for name, c := range map[string]struct {
		w    Network
		want string // an error, or the gateways
	}{
		"a subnet":             {Network{Subnet: p("10.8.0.7/24")}, "10.8.0.1 invalid IP"},
		"a gateway":            {Network{Subnet: p("10.8.0.0/24"), Gateway: a("10.8.0.9")}, "10.8.0.9 invalid IP"},
		"both families":        {Network{Subnet: p("10.8.0.0/24"), Subnet6: p("fd00:8::5/64")}, "10.8.0.1 fd00:8::1"},
		"an overlap":           {Network{Subnet: p("10.9.0.128/25")}, "Pool overlaps with other one on this address space: other has 10.9.0.0/24"},
		"an overlap of IPv6":   {Network{Subnet: p("10.8.0.0/24"), Subnet6: p("fd00:9::/80")}, "other has fd00:9::/64"},
		"a gateway outside":    {Network{Subnet: p("10.8.0.0/24"), Gateway: a("10.7.0.1")}, "no matching subnet for gateway 10.7.0.1"},
		"a gateway of nothing": {Network{Gateway: a("10.7.0.1")}, "needs a subnet"},
		"IPv6 of nothing":      {Network{Subnet: p("10.8.0.0/24"), Gateway6: a("fd00::1")}, "no matching subnet for gateway fd00::1"},
		"too small":            {Network{Subnet: p("10.8.0.0/31")}, "room for containers"},
		"too small for IPv6":   {Network{Subnet: p("10.8.0.0/24"), Subnet6: p("fd00:8::/127")}, "room for containers"},
		"a range outside":      {Network{Subnet: p("10.8.0.0/24"), Range: p("10.7.0.0/25")}, "no matching subnet for range 10.7.0.0/25"},
	} {
		err := c.w.choose(others)
		if err == nil {
			err = c.w.choose6(others)
		}
		got := c.w.Gateway.String() + " " + c.w.Gateway6.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAddressesAreGivenOnce(t *testing.T) {
	w := &Network{ID: "w", Name: "w", Subnet: netip.MustParsePrefix("10.8.0.0/29"), Gateway: netip.MustParseAddr("10.8.0.1"), Subnet6: netip.MustParsePrefix("fd00::/64"), Gateway6: netip.MustParseAddr("fd00::1")}
	var members []*Member
	var got []string
	for {
		ip, err := w.address(netip.Addr{}, members)
		if err != nil {
			if !strings.Contains(err.Error(), "no available addresses on network w") {
				t.Error(err)
			}
			break
		}
		ip6, err := w.address6(netip.Addr{}, members)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ip.String()+"+"+ip6.String())
		members = append(members, &Member{Places: []Place{{Network: "w", IP: ip, IP6: ip6}}})
	}
	if text := strings.Join(got, " "); text != "10.8.0.2+fd00::2 10.8.0.3+fd00::3 10.8.0.4+fd00::4 10.8.0.5+fd00::5 10.8.0.6+fd00::6" {
		t.Error(text)
	}
	for want, text := range map[string]string{"10.8.0.3": "already in use", "10.8.0.1": "already in use", "10.7.0.1": "no configured subnet contains"} {
		if _, err := w.address(netip.MustParseAddr(want), members); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := (&Network{}).address6(netip.MustParseAddr("fd00::9"), nil); err == nil {
		t.Error("an address of a family that the network does not have was given")
	}
}
