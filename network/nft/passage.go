package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// Passage lets forwarded packets through tables that are not ours. No table of ours can do that: what one table
// accepts another may still drop, and Docker's and ufw's drop all that they do not know. So rules go to the head of
// such chains, in the form in which iptables-nft writes them too, and with a comment by which they are found again.
type Passage struct {
	// Links is what the names of the links begin with that packets may come from or go to.
	Links string
	// Comment marks the rules.
	Comment string
	// Last puts them at the end of the chains, where they take the place of the policy only: what the chains' own rules
	// drop stays dropped.
	Last bool
}

// Open inserts the rules where they are missing and returns the chains, as "ip filter FORWARD".
func (p Passage) Open(s *Socket) ([]string, error) {
	chains, err := s.closedChains()
	if err != nil {
		return nil, err
	}
	var opened []string
	for _, c := range chains {
		rules, err := s.commented(c, p.Comment)
		if err != nil {
			return opened, err
		}
		if len(rules) == 2 {
			continue
		}
		err = s.Change(func(b *Batch) {
			b.deleteRules(rules)
			b.accept(c, p, OutLink(p.Links))
			b.accept(c, p, InLink(p.Links))
		})
		if err != nil {
			return opened, err
		}
		opened = append(opened, chainName(c))
	}
	return opened, nil
}

// Close removes the rules wherever they are.
func (p Passage) Close(s *Socket) error {
	chains, err := s.forwardChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		rules, err := s.commented(c, p.Comment)
		if err != nil {
			return err
		}
		if err := s.Change(func(b *Batch) { b.deleteRules(rules) }); err != nil {
			return err
		}
	}
	return nil
}

func chainName(c *nftables.Chain) string {
	family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		nftables.TableFamilyINet: "inet"}[c.Table.Family]
	return fmt.Sprintf("%s %s %s", family, c.Table.Name, c.Name)
}

// closedChains are those that drop what they do not know.
func (s *Socket) closedChains() ([]*nftables.Chain, error) {
	all, err := s.forwardChains()
	if err != nil {
		return nil, err
	}
	var closed []*nftables.Chain
	for _, c := range all {
		if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			closed = append(closed, c)
		}
	}
	return closed, nil
}

func (s *Socket) forwardChains() ([]*nftables.Chain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	all, err := s.conn.ListChains()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("list nftables chains: %w", err), s.close())
	}
	var chains []*nftables.Chain
	for _, c := range all {
		switch c.Table.Family {
		case nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet:
			if c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward {
				chains = append(chains, c)
			}
		}
	}
	return chains, nil
}

// commented returns a chain's rules that have a comment.
func (s *Socket) commented(c *nftables.Chain, comment string) ([]*nftables.Rule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	all, err := s.conn.GetRules(c.Table, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("list rules of nftables chain %s: %w", chainName(c), err), s.close())
	}
	var rules []*nftables.Rule
	for _, r := range all {
		if text, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok && text == comment {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

func (b *Batch) deleteRules(rules []*nftables.Rule) {
	for _, r := range rules {
		b.size++
		b.fail(b.conn.DelRule(r))
	}
}

// accept puts an accepting rule at the head of a chain, or at its end.
func (b *Batch) accept(c *nftables.Chain, p Passage, match []expr.Any) {
	b.size++
	rule := &nftables.Rule{
		Table: c.Table, Chain: c, Exprs: append(append(match, &expr.Counter{}), Accept()...),
		UserData: userdata.AppendString(nil, userdata.TypeComment, p.Comment),
	}
	if p.Last {
		b.conn.AddRule(rule)
		return
	}
	b.conn.InsertRule(rule)
}
