package podspec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

const (
	requiredTerms  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferredTerms = "preferredDuringSchedulingIgnoredDuringExecution"
)

func (c *checker) affinity(at *field.Path) {
	a := c.spec.Affinity
	if a == nil {
		return
	}
	if n := a.NodeAffinity; n != nil {
		c.nodeAffinity(at.Child("nodeAffinity"), n)
	}
	if p := a.PodAffinity; p != nil {
		c.podTerms(at.Child("podAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		c.podTerms(at.Child("podAntiAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

func (c *checker) nodeAffinity(at *field.Path, n *corev1.NodeAffinity) {
	if required := n.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		c.NodeSelector(at.Child(requiredTerms), required, false)
	}
	for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
		p, here := &n.PreferredDuringSchedulingIgnoredDuringExecution[i], at.Child(preferredTerms).Index(i)
		c.weight(here.Child("weight"), p.Weight)
		c.NodeSelectorTerm(here.Child("preference"), &p.Preference, true)
	}
}

func (c *checker) weight(at *field.Path, weight int32) {
	if weight < 1 || weight > 100 {
		c.Invalid(at, weight, "must be in the range 1-100")
	}
}

func (c *checker) podTerms(at *field.Path, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		c.podTerm(at.Child(requiredTerms).Index(i), &required[i])
	}
	for i := range preferred {
		here := at.Child(preferredTerms).Index(i)
		c.weight(here.Child("weight"), preferred[i].Weight)
		c.podTerm(here.Child("podAffinityTerm"), &preferred[i].PodAffinityTerm)
	}
}

func (c *checker) podTerm(at *field.Path, t *corev1.PodAffinityTerm) {
	c.Selector(at.Child("labelSelector"), t.LabelSelector)
	c.Selector(at.Child("namespaceSelector"), t.NamespaceSelector)
	for _, name := range t.Namespaces {
		c.Label(at.Child("namespace"), name)
	}
	c.labelKeys(at, t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector)
	if t.TopologyKey == "" {
		c.Required(at.Child("topologyKey"), "can not be empty")
	}
	c.LabelKey(at.Child("topologyKey"), t.TopologyKey)
}

// labelKeys checks the keys whose values a pod brings along into a selector.
func (c *checker) labelKeys(at *field.Path, match, mismatch []string, selector *metav1.LabelSelector) {
	for _, list := range []struct {
		name string
		keys []string
	}{{"matchLabelKeys", match}, {"mismatchLabelKeys", mismatch}} {
		if len(list.keys) > 0 && selector == nil {
			c.Forbidden(at.Child(list.name), "must not be specified when labelSelector is not set")
			continue
		}
		for i, key := range list.keys {
			c.LabelKey(at.Child(list.name).Index(i), key)
		}
	}
	if selector != nil {
		c.keysInSelector(at, match, selector)
	}
	others := sets.New(mismatch...)
	for i, key := range match {
		if others.Has(key) {
			c.Invalid(at.Child("matchLabelKeys").Index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys")
		}
	}
}

// keysInSelector allows each key once more in the selector: that is where it was merged on create.
func (c *checker) keysInSelector(at *field.Path, match []string, selector *metav1.LabelSelector) {
	index, seen := map[string]int{}, sets.KeySet(selector.MatchLabels)
	for i, key := range match {
		index[key] = i
	}
	for _, e := range selector.MatchExpressions {
		if i, ok := index[e.Key]; ok && seen.Has(e.Key) {
			c.Invalid(at.Index(i), e.Key, "exists in both matchLabelKeys and labelSelector")
		}
		seen.Insert(e.Key)
	}
}

func (c *checker) spread(at *field.Path) {
	all := c.spec.TopologySpreadConstraints
	for i := range all {
		s, here := &all[i], at.Index(i)
		c.Positive(here.Child("maxSkew"), int64(s.MaxSkew))
		if s.TopologyKey == "" {
			c.Required(here.Child("topologyKey"), "can not be empty")
		}
		check.Known(&c.List, here.Child("whenUnsatisfiable"), s.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
		for _, other := range all[i+1:] {
			if s.TopologyKey == other.TopologyKey && s.WhenUnsatisfiable == other.WhenUnsatisfiable {
				c.Duplicate(here.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", s.TopologyKey, s.WhenUnsatisfiable))
				break
			}
		}
		if s.MinDomains != nil {
			c.Positive(here.Child("minDomains"), int64(*s.MinDomains))
			if s.WhenUnsatisfiable != corev1.DoNotSchedule {
				c.Invalid(here.Child("minDomains"), s.MinDomains,
					fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, s.WhenUnsatisfiable))
			}
		}
		check.KnownPtr(&c.List, here.Child("nodeAffinityPolicy"), s.NodeAffinityPolicy, corev1.NodeInclusionPolicyIgnore, corev1.NodeInclusionPolicyHonor)
		check.KnownPtr(&c.List, here.Child("nodeTaintsPolicy"), s.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore, corev1.NodeInclusionPolicyHonor)
		c.labelKeys(here, s.MatchLabelKeys, nil, s.LabelSelector)
		c.Selector(here.Child("labelSelector"), s.LabelSelector)
	}
}
