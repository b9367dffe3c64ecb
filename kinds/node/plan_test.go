package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// nodeIs is a node with conditions, given as pairs of type and status.
func nodeIs(pairs ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	for i := 0; i < len(pairs); i += 2 {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType(pairs[i]), Status: corev1.ConditionStatus(pairs[i+1])})
	}
	return n
}

func names(taints []corev1.Taint) []string {
	all := []string{}
	for _, t := range taints {
		all = append(all, t.Key+":"+string(t.Effect))
	}
	return all
}

func TestTaintsFollowConditions(t *testing.T) {
	const prefix = "node.kubernetes.io/"
	for name, c := range map[string]struct {
		node *corev1.Node
		want []string
	}{
		"silent so far": {nodeIs(), []string{prefix + "not-ready:NoSchedule"}},
		"ready":         {nodeIs("Ready", "True"), []string{}},
		"not ready":     {nodeIs("Ready", "False"), []string{prefix + "not-ready:NoSchedule", prefix + "not-ready:NoExecute"}},
		"unreachable":   {nodeIs("Ready", "Unknown"), []string{prefix + "unreachable:NoSchedule", prefix + "unreachable:NoExecute"}},
		"short of all": {nodeIs("Ready", "True", "MemoryPressure", "True", "DiskPressure", "True", "PIDPressure", "True", "NetworkUnavailable", "True"),
			[]string{prefix + "memory-pressure:NoSchedule", prefix + "disk-pressure:NoSchedule", prefix + "pid-pressure:NoSchedule", prefix + "network-unavailable:NoSchedule"}},
		"short of nothing": {nodeIs("Ready", "True", "MemoryPressure", "False", "DiskPressure", "Unknown"), []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := taintsFor(c.node, someWell, noon)
			if !slices.Equal(names(got), c.want) {
				t.Errorf("taints %v, want %v", names(got), c.want)
			}
			for _, taint := range got {
				if taint.TimeAdded == nil || !taint.TimeAdded.Time.Equal(noon) {
					t.Errorf("%s added at %v", taint.Key, taint.TimeAdded)
				}
			}
		})
	}
}

func TestCordonedNodeIsTainted(t *testing.T) {
	node := nodeIs("Ready", "True")
	node.Spec.Unschedulable = true
	if got := names(taintsFor(node, someWell, noon)); !slices.Equal(got, []string{"node.kubernetes.io/unschedulable:NoSchedule"}) {
		t.Errorf("taints %v", got)
	}
}

func TestTaintsOfOthersAndTimesOfOwnStay(t *testing.T) {
	node, long := nodeIs("Ready", "Unknown"), metav1.NewTime(noon.Add(-time.Hour))
	node.Spec.Taints = []corev1.Taint{
		{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &long},
		{Key: "mine", Value: "v", Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule},
	}
	got := taintsFor(node, someWell, noon)
	want := []string{"node.kubernetes.io/unreachable:NoExecute", "mine:NoExecute", "node.kubernetes.io/unreachable:NoSchedule"}
	if !slices.Equal(names(got), want) || !got[0].TimeAdded.Equal(&long) {
		t.Errorf("taints %v, the first since %v", names(got), got[0].TimeAdded)
	}
}

func TestLostNodeIsUnknown(t *testing.T) {
	node := lost(nodeIs("Ready", "True", "DiskPressure", "Unknown"), noon)
	got := map[corev1.NodeConditionType]string{}
	for _, c := range node.Status.Conditions {
		got[c.Type] = fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
	}
	for kind, want := range map[corev1.NodeConditionType]string{
		"Ready":          "Unknown NodeStatusUnknown Kubelet stopped posting node status.",
		"MemoryPressure": "Unknown NodeStatusNeverUpdated Kubelet never posted node status.",
		"DiskPressure":   "Unknown  ", // as it was
	} {
		if got[kind] != want {
			t.Errorf("%s is %q, want %q", kind, got[kind], want)
		}
	}
}

// group is well ready nodes and lost ones in a zone; the last is lost.
func group(zone string, well, lostOnes int) []*corev1.Node {
	var all []*corev1.Node
	for i := range well + lostOnes {
		status := "True"
		if i >= well {
			status = "Unknown"
		}
		n := nodeIs("Ready", status)
		n.Name, n.Labels = fmt.Sprintf("%s%d", zone, i), map[string]string{corev1.LabelTopologyZone: zone}
		all = append(all, n)
	}
	return all
}

func TestDisruption(t *testing.T) {
	for name, c := range map[string]struct {
		nodes []*corev1.Node // asked about the last
		want  disruption
	}{
		"a ready one":                    {group("a", 1, 0), someWell},
		"the only one is lost":           {group("a", 0, 1), allLost},
		"one of two is lost":             {group("a", 1, 1), someWell},
		"two of three are lost":          {group("a", 1, 2), someWell},
		"three of six are lost":          {group("a", 3, 3), someWell},
		"three of five are lost":         {group("a", 2, 3), mostLost},
		"a whole zone of two is lost":    {append(group("b", 1, 0), group("a", 0, 4)...), someWell},
		"most of another zone are lost":  {append(group("b", 1, 4), group("a", 5, 1)...), someWell},
		"all of both zones are lost":     {append(group("b", 0, 1), group("a", 0, 1)...), allLost},
		"all that count are well":        {group("a", 4, 1), someWell},
		"the well one does not count":    {excluded(group("a", 1, 1), 0), allLost},
		"the lost ones do not count":     {excluded(group("a", 2, 3), 2, 3), someWell},
		"only those that do not count":   {excluded(group("a", 0, 1), 0), someWell},
		"as it will be, not as it still": {[]*corev1.Node{nodeIs("Ready", "True"), nodeIs("Ready", "Unknown")}, allLost}, // one name
	} {
		t.Run(name, func(t *testing.T) {
			if got := disruptionOf(c.nodes[len(c.nodes)-1], c.nodes); got != c.want {
				t.Errorf("disruption %d, want %d", got, c.want)
			}
		})
	}
}

func excluded(nodes []*corev1.Node, which ...int) []*corev1.Node {
	for _, i := range which {
		nodes[i].Labels["node.kubernetes.io/exclude-disruption"] = ""
	}
	return nodes
}

func TestNothingIsEvictedWhereMostIsLost(t *testing.T) {
	fresh, tainted := nodeIs("Ready", "Unknown"), nodeIs("Ready", "Unknown")
	tainted.Spec.Taints = taintsFor(tainted, someWell, noon)
	for name, c := range map[string]struct {
		node *corev1.Node
		d    disruption
		want int
	}{
		"one lost":                      {fresh, someWell, 2},
		"most lost, not evicting yet":   {fresh, mostLost, 1},
		"most lost, evicting already":   {tainted, mostLost, 2},
		"all lost, evicting until then": {tainted, allLost, 1},
	} {
		if got := taintsFor(c.node, c.d, noon); len(got) != c.want || got[0].Effect != corev1.TaintEffectNoSchedule {
			t.Errorf("%s: taints %v", name, names(got))
		}
	}
}

func TestNewNodesGetMoreTime(t *testing.T) {
	if young, known := grace(nodeIs()), grace(nodeIs("Ready", "False")); young != time.Minute || known != 50*time.Second {
		t.Errorf("%s before the first status, %s after", young, known)
	}
}
