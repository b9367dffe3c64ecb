package placement

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// term is one term of pod affinity or anti-affinity: which pods, and the label that says what is "together".
type term struct {
	key          string // terms of the same key are the same
	topology     string
	namespaces   []string
	inNamespaces labels.Selector // by their labels; nil: none
	selector     labels.Selector
}

type weighted struct {
	*term
	weight int64
}

func termsOf(pod *corev1.Pod, all []corev1.PodAffinityTerm) ([]*term, error) {
	var terms []*term
	for i := range all {
		t, err := newTerm(pod, &all[i])
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	return terms, nil
}

func weightedTermsOf(pod *corev1.Pod, all []corev1.WeightedPodAffinityTerm) ([]weighted, error) {
	var terms []weighted
	for i := range all {
		t, err := newTerm(pod, &all[i].PodAffinityTerm)
		if err != nil {
			return nil, err
		}
		terms = append(terms, weighted{t, int64(all[i].Weight)})
	}
	return terms, nil
}

func newTerm(pod *corev1.Pod, from *corev1.PodAffinityTerm) (*term, error) {
	selector, err := metav1.LabelSelectorAsSelector(from.LabelSelector)
	if err != nil {
		return nil, err
	}
	t := &term{topology: from.TopologyKey, namespaces: slices.Clone(from.Namespaces), selector: selector}
	if len(t.namespaces) == 0 && from.NamespaceSelector == nil {
		t.namespaces = []string{pod.Namespace}
	}
	slices.Sort(t.namespaces)
	in := ""
	if from.NamespaceSelector != nil {
		if t.inNamespaces, err = metav1.LabelSelectorAsSelector(from.NamespaceSelector); err != nil {
			return nil, err
		}
		in = "*" + t.inNamespaces.String()
	}
	t.key = strings.Join([]string{t.topology, strings.Join(t.namespaces, ","), in, selector.String()}, "\x00")
	return t, nil
}

func (t *term) matches(c *Cluster, p *Pod) bool {
	namespace := p.Object.Namespace
	if !slices.Contains(t.namespaces, namespace) &&
		(t.inNamespaces == nil || !t.inNamespaces.Matches(c.namespaces[namespace])) {
		return false
	}
	return t.selector.Matches(labels.Set(p.Object.Labels))
}

// countOf is the tally of pods that match all terms.
func (c *Cluster) countOf(terms ...*term) *tally {
	keys := make([]string, 0, len(terms))
	t := &tally{}
	for _, one := range terms {
		keys = append(keys, one.key)
		t.selecting = t.selecting || one.inNamespaces != nil
		if !t.selecting && len(one.namespaces) == 1 {
			t.namespace = one.namespaces[0]
		}
	}
	if t.selecting {
		t.namespace = ""
	}
	t.matches = func(c *Cluster, p *Pod) bool { return allMatch(c, terms, p) }
	return c.tally("affinity\x00"+strings.Join(keys, "\x00\x00"), func() *tally { return t })
}

func allMatch(c *Cluster, terms []*term, p *Pod) bool {
	return !slices.ContainsFunc(terms, func(t *term) bool { return !t.matches(c, p) })
}

// standing is a term that pods on nodes have, and how many of them are in each domain of its topology.
type standing struct {
	term   *term
	weight int64
	in     map[string]int64
}

// stand counts a pod's own terms, which bear on the pods that come after it.
func (c *Cluster) stand(n *Node, p *Pod, by int64) {
	for _, t := range p.far {
		c.standing(c.repelling, n, t, 0, by)
	}
	for _, t := range p.near {
		c.standing(c.wishing, n, t, 1, by)
	}
	for _, w := range p.nearIsh {
		c.standing(c.wishing, n, w.term, w.weight, by)
	}
	for _, w := range p.farIsh {
		c.standing(c.wishing, n, w.term, -w.weight, by)
	}
}

func (c *Cluster) standing(all map[string]*standing, n *Node, t *term, weight, by int64) {
	value, has := n.object.Labels[t.topology]
	if !has {
		return
	}
	key := strconv.FormatInt(weight, 10) + "\x00" + t.key
	s := all[key]
	if s == nil {
		s = &standing{t, weight, map[string]int64{}}
		all[key] = s
	}
	if s.in[value] += by; s.in[value] == 0 {
		delete(s.in, value)
	}
	if len(s.in) == 0 {
		delete(all, key)
	}
}

// repelled fits nodes where no pod wants to be without this one.
func repelled(c *Cluster, p *Pod) func(*Node) bool {
	var matched []*standing
	for _, s := range c.repelling {
		if s.term.matches(c, p) {
			matched = append(matched, s)
		}
	}
	if matched == nil {
		return nil
	}
	return func(n *Node) bool {
		for _, s := range matched {
			if value, has := n.object.Labels[s.term.topology]; has && s.in[value] > 0 {
				return false
			}
		}
		return true
	}
}

// nearOthers fits nodes together with pods that match all of the pod's affinity terms. The first of a group that
// wants to be together with itself may go anywhere.
func nearOthers(c *Cluster, p *Pod) func(*Node) bool {
	if len(p.near) == 0 {
		return nil
	}
	matching := c.countOf(p.near...)
	first := matching.total == 0 && allMatch(c, p.near, p)
	var in []census
	for _, t := range p.near {
		in = append(in, c.census(matching, t.topology, nil))
	}
	return func(n *Node) bool {
		for i := range in {
			if !in[i].has(n) || (!first && in[i].at(n) == 0) {
				return false
			}
		}
		return true
	}
}

// farFromOthers fits nodes that are not together with pods that match any of the pod's anti-affinity terms.
func farFromOthers(c *Cluster, p *Pod) func(*Node) bool {
	if len(p.far) == 0 {
		return nil
	}
	var in []census
	for _, t := range p.far {
		in = append(in, c.census(c.countOf(t), t.topology, nil))
	}
	return func(n *Node) bool {
		return !slices.ContainsFunc(in, func(s census) bool { return s.at(n) > 0 })
	}
}

// company scores nodes by whom the pod, and those that are there, want to be together with.
func company(c *Cluster, p *Pod) func(*Node) int64 {
	var theirs []*standing
	for _, s := range c.wishing {
		if s.term.matches(c, p) {
			theirs = append(theirs, s)
		}
	}
	type pull struct {
		census
		weight int64
	}
	var own []pull
	add := func(w weighted, sign int64) {
		if t := c.countOf(w.term); t.total > 0 {
			own = append(own, pull{c.census(t, w.topology, nil), sign * w.weight})
		}
	}
	for _, w := range p.nearIsh {
		add(w, +1)
	}
	for _, w := range p.farIsh {
		add(w, -1)
	}
	if theirs == nil && own == nil {
		return nil
	}
	return func(n *Node) int64 {
		var sum int64
		for _, s := range theirs {
			if value, has := n.object.Labels[s.term.topology]; has {
				sum += s.in[value] * s.weight
			}
		}
		for i := range own {
			sum += int64(own[i].at(n)) * own[i].weight
		}
		return sum
	}
}
