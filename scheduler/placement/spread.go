package placement

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// constraint is one topology spread constraint.
type constraint struct {
	maxSkew    int
	topology   string
	selector   labels.Selector
	key        string // of its tally
	minDomains int
	affinity   bool // only nodes that the pod's node affinity allows count
	taints     bool // only nodes whose taints the pod tolerates count
}

func (p *Pod) workOutSpread() error {
	for i := range p.Object.Spec.TopologySpreadConstraints {
		from := &p.Object.Spec.TopologySpreadConstraints[i]
		selector, err := metav1.LabelSelectorAsSelector(from.LabelSelector)
		if err != nil {
			return err
		}
		for _, key := range from.MatchLabelKeys {
			value, has := p.Object.Labels[key]
			if r, err := labels.NewRequirement(key, selection.Equals, []string{value}); has && err == nil {
				selector = selector.Add(*r)
			}
		}
		c := constraint{maxSkew: int(from.MaxSkew), topology: from.TopologyKey, minDomains: 1, affinity: true}
		c.selectBy(p.Object.Namespace, selector)
		if from.MinDomains != nil {
			c.minDomains = int(*from.MinDomains)
		}
		if from.NodeAffinityPolicy != nil {
			c.affinity = *from.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
		}
		if from.NodeTaintsPolicy != nil {
			c.taints = *from.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
		}
		if from.WhenUnsatisfiable == corev1.DoNotSchedule {
			p.mustSpread = append(p.mustSpread, c)
		} else {
			p.spread = append(p.spread, c)
		}
	}
	return nil
}

func (s *constraint) selectBy(namespace string, selector labels.Selector) {
	s.selector = selector
	s.key = "spread\x00" + namespace + "\x00" + selector.String()
}

// members is the tally of the pods that a constraint spreads. An empty selector selects none.
func (c *Cluster) members(p *Pod, s *constraint) *tally {
	return c.tally(s.key, func() *tally {
		return &tally{namespace: p.Object.Namespace, matches: func(_ *Cluster, other *Pod) bool {
			return !other.terminating() && !s.selector.Empty() && s.selector.Matches(labels.Set(other.Object.Labels))
		}}
	})
}

// counting says which nodes count for a constraint: those that have the labels of all the required ones and that
// the pod could go to. Nil: all that have the constraint's own label.
func (c *Cluster) counting(p *Pod, required []constraint, s *constraint) func(*Node) bool {
	var others []*topology
	for i := range required {
		if required[i].topology != s.topology {
			others = append(others, c.topology(required[i].topology))
		}
	}
	choosy := s.affinity && p.selective
	if !choosy && !s.taints && others == nil {
		return nil
	}
	return func(n *Node) bool {
		if slices.ContainsFunc(others, func(t *topology) bool { return !t.has(n) }) {
			return false
		}
		if choosy {
			if ok, err := p.nodes.Match(n.object); !ok || err != nil {
				return false
			}
		}
		return !s.taints || tolerates(p, n.repels)
	}
}

// labelled fits nodes that have every label that the pod must be spread over.
func labelled(_ *Cluster, p *Pod) func(*Node) bool {
	if len(p.mustSpread) == 0 {
		return nil
	}
	return func(n *Node) bool {
		for i := range p.mustSpread {
			if _, has := n.object.Labels[p.mustSpread[i].topology]; !has {
				return false
			}
		}
		return true
	}
}

// even fits nodes where one more pod leaves the domains within the allowed skew.
func even(c *Cluster, p *Pod) func(*Node) bool {
	if len(p.mustSpread) == 0 {
		return nil
	}
	type state struct {
		census
		most int // that may be in the domain before this pod joins it
	}
	states := make([]state, len(p.mustSpread))
	for i := range p.mustSpread {
		s := &p.mustSpread[i]
		in := c.census(c.members(p, s), s.topology, c.counting(p, p.mustSpread, s))
		least, domains := in.least()
		if domains < s.minDomains {
			least = 0
		}
		self := 0
		if s.selector.Matches(labels.Set(p.Object.Labels)) {
			self = 1
		}
		states[i] = state{in, s.maxSkew + least - self}
	}
	return func(n *Node) bool {
		for i := range states {
			if states[i].at(n) > states[i].most {
				return false
			}
		}
		return true
	}
}

// usualSpread is for pods that say nothing: over nodes, and more strictly over zones.
func usualSpread(p *Pod) []constraint {
	if p.Family == nil || p.Family.Empty() || len(p.Object.Spec.TopologySpreadConstraints) > 0 {
		return nil
	}
	all := []constraint{
		{maxSkew: 3, topology: corev1.LabelHostname, affinity: true},
		{maxSkew: 5, topology: corev1.LabelTopologyZone, affinity: true},
	}
	for i := range all {
		all[i].selectBy(p.Object.Namespace, p.Family)
	}
	return all
}

// crowded scores candidates by how many of the pod's own kind are near already. A negative value is a node that
// does not take part, for want of a label.
func crowded(c *Cluster, p *Pod, candidates []*Node) func(*Node) int64 {
	all, strict := p.spread, true
	if usual := usualSpread(p); usual != nil {
		all, strict = usual, false
	}
	if len(all) == 0 {
		return nil
	}
	var states []crowd
	for i := range all {
		s := &all[i]
		members := c.members(p, s)
		state := crowd{members: members, hasLabel: c.topology(s.topology), skew: float64(s.maxSkew - 1)}
		size := len(candidates)
		if s.topology != corev1.LabelHostname {
			var required []constraint
			if strict {
				required = all
			}
			in := c.census(members, s.topology, c.counting(p, required, s))
			state.in, size = &in, domainsOf(in.topology, candidates)
		}
		state.weight = math.Log(float64(size + 2))
		states = append(states, state)
	}
	return func(n *Node) int64 {
		sum := 0.0
		for i := range states {
			if states[i].hasLabel.has(n) {
				sum += states[i].worth(n)
			} else if strict {
				return -1
			}
		}
		return int64(math.Round(sum))
	}
}

// crowd is one constraint's part of the score.
type crowd struct {
	members      *tally
	hasLabel     *topology
	in           *census // nil: each node by itself
	weight, skew float64
}

func (s *crowd) worth(n *Node) float64 {
	count := int(s.members.on[n.index])
	if s.in != nil {
		count = s.in.at(n)
	}
	return float64(count)*s.weight + s.skew
}

func domainsOf(t *topology, nodes []*Node) int {
	seen := make([]bool, t.size)
	count := 0
	for _, n := range nodes {
		if domain := t.of[n.index]; domain >= 0 && !seen[domain] {
			seen[domain] = true
			count++
		}
	}
	return count
}
