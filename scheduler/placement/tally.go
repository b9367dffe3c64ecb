package placement

import "slices"

// tally counts, node by node, the pods that match something. It is made when first asked for and kept right as
// pods come and go, so that a question over all pods of the cluster costs a look at each node.
type tally struct {
	namespace string // where matching pods are; "" when the match decides
	selecting bool   // the match depends on namespaces' labels
	matches   func(*Cluster, *Pod) bool
	on        []int32 // by Node.index
	total     int
	used      int // for dropping the tally that was not used for longest
}

// maxTallies bounds their memory and the work for each pod that comes or goes.
const maxTallies = 512

type tallies struct {
	byKey       map[string]*tally
	inNamespace map[string][]*tally
	clock       int
	size        int // nodes
}

func newTallies() tallies {
	return tallies{byKey: map[string]*tally{}, inNamespace: map[string][]*tally{}}
}

// tally returns the count for key, made by making when it is not there.
func (c *Cluster) tally(key string, making func() *tally) *tally {
	all := &c.tallies
	all.clock++
	t := all.byKey[key]
	if t == nil {
		if len(all.byKey) >= maxTallies {
			all.dropOldest()
		}
		t = making()
		t.on = make([]int32, len(c.nodes))
		for _, n := range c.nodes {
			for _, p := range n.pods {
				t.add(c, n, p, +1)
			}
		}
		all.byKey[key] = t
		all.inNamespace[t.namespace] = append(all.inNamespace[t.namespace], t)
	}
	t.used = all.clock
	return t
}

func (t *tally) add(c *Cluster, n *Node, p *Pod, by int32) {
	if (t.namespace == "" || t.namespace == p.Object.Namespace) && t.matches(c, p) {
		t.on[n.index] += by
		t.total += int(by)
	}
}

func (all *tallies) count(c *Cluster, n *Node, p *Pod, by int32) {
	for _, t := range all.inNamespace[p.Object.Namespace] {
		t.add(c, n, p, by)
	}
	for _, t := range all.inNamespace[""] {
		t.add(c, n, p, by)
	}
}

// grow makes room for a new last node.
func (all *tallies) grow() {
	for _, t := range all.byKey {
		t.on = append(t.on, 0)
	}
}

func (all *tallies) dropOldest() {
	oldest := ""
	for key, t := range all.byKey {
		if oldest == "" || t.used < all.byKey[oldest].used {
			oldest = key
		}
	}
	all.drop(oldest)
}

// dropSelecting forgets counts that depend on namespaces' labels, which changed.
func (all *tallies) dropSelecting() {
	for key, t := range all.byKey {
		if t.selecting {
			all.drop(key)
		}
	}
}

func (all *tallies) drop(key string) {
	t := all.byKey[key]
	delete(all.byKey, key)
	rest := slices.DeleteFunc(all.inNamespace[t.namespace], func(o *tally) bool { return o == t })
	if len(rest) == 0 {
		delete(all.inNamespace, t.namespace)
		return
	}
	all.inNamespace[t.namespace] = rest
}
