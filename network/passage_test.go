package network

import (
	"testing"

	"github.com/google/nftables"

	"dhow/network/networktest"
)

// closeForwarding makes a table as Docker does, which drops forwarded packets that it does not know, and returns
// its chain.
func closeForwarding(t *testing.T) (*nftables.Conn, *nftables.Chain) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	drop := nftables.ChainPolicyDrop
	table := conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
	chain := conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.DelTable(table)
		if err := conn.Flush(); err != nil {
			t.Errorf("delete table: %v", err)
		}
	})
	return conn, chain
}

func TestPodsPassAFirewallThatDropsWhatItDoesNotKnow(t *testing.T) {
	conn, chain := closeForwarding(t)
	f := start(t)
	a, b := f.pod(), f.pod()
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	networktest.Serve(t, a, "tcp", ":8080", "a")
	networktest.Serve(t, outside, "tcp", ":80", "outside")
	networktest.MustAsk(t, b, "tcp", a.at(8080))
	networktest.MustAsk(t, b, "tcp", "198.51.100.2:80")
	if err := f.repair(); err != nil {
		t.Fatal(err)
	}
	if rules, err := conn.GetRules(chain.Table, chain); err != nil || len(rules) != 2 {
		t.Errorf("chain has %d rules, %v; want two", len(rules), err)
	}
	f.stop()
	if err := Reset(f.config); err != nil {
		t.Fatal(err)
	}
	if rules, err := conn.GetRules(chain.Table, chain); err != nil || len(rules) != 0 {
		t.Errorf("after reset the chain has %d rules, %v", len(rules), err)
	}
}
