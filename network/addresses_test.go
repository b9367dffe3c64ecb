package network

import (
	"net/netip"
	"testing"
)

func mustTake(t *testing.T, p *pool) netip.Addr {
	t.Helper()
	a, err := p.take()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPoolGivesEveryAddressButTheNodesAndTheLast(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.42.3.0/24"))
	seen := map[netip.Addr]bool{}
	for range 253 {
		seen[mustTake(t, p)] = true
	}
	if len(seen) != 253 || seen[netip.MustParseAddr("10.42.3.1")] || seen[netip.MustParseAddr("10.42.3.255")] {
		t.Errorf("got %d addresses: %v", len(seen), seen)
	}
	_, err := p.take()
	if err == nil || err.Error() != "no free pod address in 10.42.3.0/24: 253 are in use" {
		t.Errorf("when full: %v", err)
	}
}

func TestPoolUsesAFreedAddressLast(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.42.3.0/29"))
	first := mustTake(t, p)
	p.release(first)
	for range 4 {
		if a := mustTake(t, p); a == first {
			t.Fatalf("%s was given again at once", a)
		}
	}
	if a := mustTake(t, p); a != first {
		t.Errorf("at last got %s, want %s", a, first)
	}
}

func TestPoolOfTwoPointToPointAddressesHasNone(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.42.3.0/30"))
	if a := mustTake(t, p); a.String() != "10.42.3.2" {
		t.Errorf("got %s", a)
	}
	if a, err := p.take(); err == nil {
		t.Errorf("got %s from a full pool", a)
	}
}

func TestPoolOfIPv6IsNotSearchedAsAWhole(t *testing.T) {
	p := newPool(netip.MustParsePrefix("fd42::/64"))
	p.resume(netip.MustParseAddr("fd42::ffff:ffff:ffff:fffe"))
	if a := mustTake(t, p); a.String() != "fd42::2" {
		t.Errorf("got %s, want to begin again", a)
	}
}
