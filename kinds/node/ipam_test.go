package node

import (
	"net/netip"
	"testing"
)

func TestEachNodeGetsTheFirstFreeBlocks(t *testing.T) {
	cluster := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd00::/56")}
	taken := map[string]bool{"10.42.0.0/24": true, "10.42.2.0/24": true, "fd00::/64": true}
	got, err := freeBlocks(cluster, taken)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.42.1.0/24", "fd00:0:0:1::/64"}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("blocks %v, want %v", got, want)
	}
}

func TestAFullNetworkIsAnError(t *testing.T) {
	taken := map[string]bool{}
	network := netip.MustParsePrefix("10.42.0.0/23")
	for range 2 {
		blocks, err := freeBlocks([]netip.Prefix{network}, taken)
		if err != nil {
			t.Fatal(err)
		}
		taken[blocks[0]] = true
	}
	if blocks, err := freeBlocks([]netip.Prefix{network}, taken); err == nil {
		t.Errorf("a third node got %v of %v", blocks, network)
	}
}
