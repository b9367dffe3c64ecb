package placement

import (
	"fmt"
	"slices"
	"strings"
)

// Place chooses the best node for a pod, or fails with an *Unfit that says why there is none. It changes nothing:
// Put takes what it chose.
func (c *Cluster) Place(p *Pod) (string, error) {
	if len(c.nodes) == 0 {
		return "", &Unfit{By: Every}
	}
	candidates, unfit := c.candidates(p)
	switch len(candidates) {
	case 0:
		return "", unfit
	case 1:
		return candidates[0].name, nil
	}
	return c.bestOf(p, candidates).name, nil
}

// Sampling of large clusters: enough candidates are found before all nodes are asked.
const (
	enoughNodes    = 100
	leastPercent   = 5
	mostPercent    = 50
	nodesPerMinus1 = 125
)

// wanted is how many candidates are enough.
func wanted(nodes int) int {
	if nodes < enoughNodes {
		return nodes
	}
	return max(enoughNodes, nodes*max(leastPercent, mostPercent-nodes/nodesPerMinus1)/100)
}

// prepared is a filter that this pod has to ask.
type prepared struct {
	*filter
	fits func(*Node) bool
}

func (c *Cluster) prepare(p *Pod) []prepared {
	checks := make([]prepared, 0, len(filters))
	for i := range filters {
		if fits := filters[i].prepare(c, p); fits != nil {
			checks = append(checks, prepared{&filters[i], fits})
		}
	}
	return checks
}

// candidates are nodes that pass all filters. Each search begins where the last one ended.
func (c *Cluster) candidates(p *Pod) ([]*Node, *Unfit) {
	checks := c.prepare(p)
	unfit := &Unfit{Nodes: len(c.nodes)}
	c.found = c.found[:0]
	if p.only != nil {
		return c.named(p, checks, unfit)
	}
	enough := wanted(len(c.nodes))
	start := c.next % len(c.nodes)
	asked := 0
	for ; asked < len(c.nodes) && len(c.found) < enough; asked++ {
		c.ask(c.nodes[(start+asked)%len(c.nodes)], p, checks, unfit)
	}
	c.next = (start + asked) % len(c.nodes)
	return c.found, unfit
}

// named asks only the nodes that the pod's affinity names.
func (c *Cluster) named(p *Pod, checks []prepared, unfit *Unfit) ([]*Node, *Unfit) {
	asked := 0
	for i, name := range p.only {
		if n := c.byName[name]; n != nil && n.object != nil && !slices.Contains(p.only[:i], name) {
			asked++
			c.ask(n, p, checks, unfit)
		}
	}
	if rest := len(c.nodes) - asked; rest > 0 {
		unfit.by(NodeAffinity, "node(s) didn't satisfy plugin(s) [NodeAffinity]", rest)
	}
	return c.found, unfit
}

func (c *Cluster) ask(n *Node, p *Pod, checks []prepared, unfit *Unfit) {
	for i := range checks {
		if checks[i].fits(n) {
			continue
		}
		if checks[i].is == Resources {
			for _, reason := range lacking(n, p) {
				unfit.by(Resources, reason, 1)
			}
		} else {
			unfit.by(checks[i].is, checks[i].reason, 1)
		}
		return
	}
	c.found = append(c.found, n)
}

// bestOf is the candidate with the greatest sum of scores; the first of those that are equal.
func (c *Cluster) bestOf(p *Pod, candidates []*Node) *Node {
	c.sums = slices.Grow(c.sums[:0], len(candidates))[:len(candidates)]
	c.each = slices.Grow(c.each[:0], len(candidates))[:len(candidates)]
	clear(c.sums)
	for i := range scores {
		worth := scores[i].prepare(c, p, candidates)
		if worth == nil {
			continue
		}
		for j, n := range candidates {
			c.each[j] = worth(n)
		}
		scores[i].scale(c.each)
		for j, w := range c.each {
			c.sums[j] += w * scores[i].weight
		}
	}
	top := 0
	for i, sum := range c.sums {
		if sum > c.sums[top] {
			top = i
		}
	}
	return candidates[top]
}

// Unfit says why no node was good enough.
type Unfit struct {
	Nodes int    // how many there are
	By    Filter // which filters rejected some
	// Reasons counts nodes; Whole, in its place, is a reason that has nothing to do with any one node.
	Reasons map[string]int
	Whole   string
}

func (u *Unfit) by(f Filter, reason string, nodes int) {
	u.By |= f
	if u.Reasons == nil {
		u.Reasons = map[string]int{}
	}
	u.Reasons[reason] += nodes
}

// Error is what the pod's event and condition say, in upstream's words.
func (u *Unfit) Error() string {
	if u.Nodes == 0 {
		return "no nodes available to schedule pods"
	}
	if u.Whole != "" {
		return fmt.Sprintf("0/%d nodes are available: %s.", u.Nodes, u.Whole)
	}
	reasons := make([]string, 0, len(u.Reasons))
	for reason, nodes := range u.Reasons {
		reasons = append(reasons, fmt.Sprintf("%d %s", nodes, reason))
	}
	slices.Sort(reasons)
	return fmt.Sprintf("0/%d nodes are available: %s.", u.Nodes, strings.Join(reasons, ", "))
}
