package placement

// topology divides the nodes by the value of one label into domains, numbered from 0.
type topology struct {
	of   []int32 // by Node.index; -1: a node without the label
	size int     // domains
}

// topology is worked out when first asked for, and anew when nodes change.
func (c *Cluster) topology(label string) *topology {
	if t := c.topologies[label]; t != nil {
		return t
	}
	t := &topology{of: make([]int32, len(c.nodes))}
	numbers := map[string]int32{}
	for i, n := range c.nodes {
		value, has := n.object.Labels[label]
		if !has {
			t.of[i] = -1
			continue
		}
		number, known := numbers[value]
		if !known {
			number = int32(len(numbers))
			numbers[value] = number
		}
		t.of[i] = number
	}
	t.size = len(numbers)
	if len(c.topologies) >= maxTallies {
		clear(c.topologies)
	}
	c.topologies[label] = t
	return t
}

func (t *topology) has(n *Node) bool { return t.of[n.index] >= 0 }

// census is a tally summed over domains.
type census struct {
	*topology
	sums []int // -1: a domain without a node that counts
}

// census of a tally over the nodes that count; over all of them when counts is nil.
func (c *Cluster) census(t *tally, label string, counts func(*Node) bool) census {
	s := census{topology: c.topology(label)}
	s.sums = make([]int, s.size)
	for i := range s.sums {
		s.sums[i] = -1
	}
	if counts == nil && t.total == 0 {
		clear(s.sums)
		return s
	}
	for i, domain := range s.of {
		if domain < 0 || (counts != nil && !counts(c.nodes[i])) {
			continue
		}
		s.sums[domain] = max(s.sums[domain], 0) + int(t.on[i])
	}
	return s
}

// at is the count in the node's domain; 0 for a node without one.
func (s *census) at(n *Node) int {
	domain := s.of[n.index]
	if domain < 0 {
		return 0
	}
	return max(0, s.sums[domain])
}

// least is the smallest count, and in how many domains anything was counted.
func (s *census) least() (least, domains int) {
	for _, sum := range s.sums {
		if sum < 0 {
			continue
		}
		if domains == 0 || sum < least {
			least = sum
		}
		domains++
	}
	return least, domains
}
