package placement

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

func quantities(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

// node has 4 CPUs, 8Gi and room for 110 pods, and the labels of its name and zone.
func node(name, zone string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: zone,
	}}}
	n.Status.Allocatable = quantities("cpu", "4", "memory", "8Gi", "pods", "110")
	for _, f := range change {
		f(n)
	}
	return n
}

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "app"}}
	for _, f := range change {
		f(p)
	}
	return p
}

func asks(pairs ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = quantities(pairs...) }
}

func labelledAs(app string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{"app": app} }
}

func on(nodeName string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeName = nodeName }
}

func selecting(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func affinity(p *corev1.Pod) *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	return p.Spec.Affinity
}

func nearTo(app, topology string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{LabelSelector: selecting(app), TopologyKey: topology}}}
	}
}

func farFrom(app, topology string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{LabelSelector: selecting(app), TopologyKey: topology}}}
	}
}

func spreadOver(topology string, skew int32, app string, when corev1.UnsatisfiableConstraintAction) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: skew, TopologyKey: topology, WhenUnsatisfiable: when, LabelSelector: selecting(app)})
	}
}

func hostPort(number int32, address string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: number, HostIP: address, ContainerPort: 80}}
	}
}

func tainted(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func onlyNode(names ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: names}}}}}}
	}
}

func compiled(t testing.TB, object *corev1.Pod) *Pod {
	t.Helper()
	p, err := NewPod(object)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cluster puts each pod on the node that it names.
func cluster(t testing.TB, nodes []*corev1.Node, pods ...*corev1.Pod) *Cluster {
	t.Helper()
	c := NewCluster()
	for _, p := range pods {
		c.Put(compiled(t, p), p.Spec.NodeName)
	}
	for _, n := range nodes {
		c.SetNode(n)
	}
	return c
}

const host, zone = corev1.LabelHostname, corev1.LabelTopologyZone

func TestFilters(t *testing.T) {
	ab := []*corev1.Node{node("a", "x"), node("b", "y")}
	small := func(n *corev1.Node) { n.Status.Allocatable = quantities("cpu", "1", "memory", "1Gi", "pods", "1") }
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	unlabelled := func(n *corev1.Node) { n.Labels = nil }
	web := func(name, at string, more ...func(*corev1.Pod)) *corev1.Pod {
		return pod(name, append(more, labelledAs("web"), on(at))...)
	}
	for _, c := range []struct {
		name  string
		nodes []*corev1.Node
		there []*corev1.Pod
		pod   *corev1.Pod
		want  string // the node, or the message
	}{
		{"no nodes", nil, nil, pod("p"), "no nodes available to schedule pods"},
		{"cpu and memory", []*corev1.Node{node("a", "x", small), node("b", "x", small)}, nil, pod("p", asks("cpu", "2", "memory", "2Gi")),
			"0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory."},
		{"what others take", []*corev1.Node{node("a", "x")}, []*corev1.Pod{pod("q", on("a"), asks("cpu", "3"))}, pod("p", asks("cpu", "1500m")),
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"count of pods", []*corev1.Node{node("a", "x", small)}, []*corev1.Pod{pod("q", on("a"))}, pod("p"),
			"0/1 nodes are available: 1 Too many pods."},
		{"extended resource", []*corev1.Node{node("a", "x")}, nil, pod("p", asks("example.com/gpu", "1")),
			"0/1 nodes are available: 1 Insufficient example.com/gpu."},
		{"init container asks for more", []*corev1.Node{node("a", "x", small)}, nil, pod("p", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Resources: corev1.ResourceRequirements{Requests: quantities("cpu", "2")}}}
		}), "0/1 nodes are available: 1 Insufficient cpu."},
		{"overhead", []*corev1.Node{node("a", "x", small)}, nil, pod("p", asks("cpu", "900m"), func(p *corev1.Pod) { p.Spec.Overhead = quantities("cpu", "200m") }),
			"0/1 nodes are available: 1 Insufficient cpu."},
		{"cordoned", []*corev1.Node{node("a", "x", cordoned), node("b", "x")}, nil, pod("p"), "b"},
		{"cordoned alone", []*corev1.Node{node("a", "x", cordoned)}, nil, pod("p"), "0/1 nodes are available: 1 node(s) were unschedulable."},
		{"taint", []*corev1.Node{node("a", "x", tainted("k", corev1.TaintEffectNoSchedule))}, nil, pod("p"),
			"0/1 nodes are available: 1 node(s) had untolerated taint(s)."},
		{"tolerated taint", []*corev1.Node{node("a", "x", tainted("k", corev1.TaintEffectNoExecute))}, nil,
			pod("p", func(p *corev1.Pod) {
				p.Spec.Tolerations = []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists}}
			}), "a"},
		{"node selector", ab, nil, pod("p", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{zone: "y"} }), "b"},
		{"node selector that nothing has", ab, nil, pod("p", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }),
			"0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."},
		{"affinity to a name", ab, nil, pod("p", onlyNode("b")), "b"},
		{"affinity to the name of a full node", []*corev1.Node{node("a", "x", small), node("b", "y")}, []*corev1.Pod{pod("q", on("a"))}, pod("p", onlyNode("a")),
			"0/2 nodes are available: 1 Too many pods, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]."},
		{"port", ab, []*corev1.Pod{pod("q", on("a"), hostPort(80, ""))}, pod("p", hostPort(80, "127.0.0.1")), "b"},
		{"port of another address", []*corev1.Node{node("a", "x")}, []*corev1.Pod{pod("q", on("a"), hostPort(80, "127.0.0.2"))}, pod("p", hostPort(80, "127.0.0.1")), "a"},
		{"port on all addresses", []*corev1.Node{node("a", "x")}, []*corev1.Pod{pod("q", on("a"), hostPort(80, "127.0.0.2"))}, pod("p", hostPort(80, "0.0.0.0")),
			"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."},
		{"near others", ab, []*corev1.Pod{web("q", "b")}, pod("p", nearTo("web", zone)), "b"},
		{"near nobody", ab, nil, pod("p", nearTo("web", zone)), "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."},
		{"near oneself, the first", []*corev1.Node{node("a", "x")}, nil, pod("p", labelledAs("web"), nearTo("web", zone)), "a"},
		{"near oneself, without the label", []*corev1.Node{node("a", "x", unlabelled)}, nil, pod("p", labelledAs("web"), nearTo("web", zone)),
			"0/1 nodes are available: 1 node(s) didn't match pod affinity rules."},
		{"near others of another namespace", ab, []*corev1.Pod{web("q", "b", func(p *corev1.Pod) { p.Namespace = "other" })}, pod("p", nearTo("web", zone)),
			"0/2 nodes are available: 2 node(s) didn't match pod affinity rules."},
		{"far from others", ab, []*corev1.Pod{web("q", "a")}, pod("p", farFrom("web", host)), "b"},
		{"far from others everywhere", ab, []*corev1.Pod{web("q", "a"), web("r", "b")}, pod("p", farFrom("web", host)),
			"0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."},
		{"others want to be far", ab, []*corev1.Pod{pod("q", on("a"), farFrom("web", zone))}, pod("p", labelledAs("web")), "b"},
		{"others want to be far everywhere", ab[:1], []*corev1.Pod{pod("q", on("a"), farFrom("web", zone))}, pod("p", labelledAs("web")),
			"0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."},
		{"spread", ab, []*corev1.Pod{web("q", "a")}, pod("p", labelledAs("web"), spreadOver(zone, 1, "web", corev1.DoNotSchedule)), "b"},
		{"spread over zones that cannot be used", []*corev1.Node{node("a", "x"), node("b", "y", small)}, []*corev1.Pod{web("q", "a"), pod("r", on("b"))},
			pod("p", labelledAs("web"), spreadOver(zone, 1, "web", corev1.DoNotSchedule)),
			"0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints."},
		{"spread without the label", []*corev1.Node{node("a", "x", unlabelled)}, nil, pod("p", labelledAs("web"), spreadOver(zone, 1, "web", corev1.DoNotSchedule)),
			"0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := cluster(t, c.nodes, c.there...).Place(compiled(t, c.pod))
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestScores(t *testing.T) {
	prefersZone := func(p *corev1.Pod) {
		affinity(p).NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
			{Weight: 10, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: zone, Operator: corev1.NodeSelectorOpIn, Values: []string{"y"}}}}}}}
	}
	prefersNear := func(p *corev1.Pod) {
		affinity(p).PodAffinity = &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			{Weight: 10, PodAffinityTerm: corev1.PodAffinityTerm{LabelSelector: selecting("web"), TopologyKey: zone}}}}
	}
	prefersFar := func(p *corev1.Pod) {
		affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			{Weight: 10, PodAffinityTerm: corev1.PodAffinityTerm{LabelSelector: selecting("web"), TopologyKey: zone}}}}
	}
	hasImage := func(n *corev1.Node) {
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"app:latest"}, SizeBytes: 900 << 20}}
	}
	web := func(at string, more ...func(*corev1.Pod)) *corev1.Pod {
		return pod("q"+at, append(more, labelledAs("web"), on(at))...)
	}
	ab := []*corev1.Node{node("a", "x"), node("b", "y")}
	for _, c := range []struct {
		name  string
		nodes []*corev1.Node
		there []*corev1.Pod
		pod   *corev1.Pod
		want  string
	}{
		{"the node with more free", ab, []*corev1.Pod{pod("q", on("a"), asks("cpu", "1", "memory", "2Gi"))}, pod("p", asks("cpu", "1", "memory", "1Gi")), "b"},
		{"pods that ask for nothing spread too", ab, []*corev1.Pod{pod("q", on("a"))}, pod("p"), "b"},
		{"a taint that prefers not", []*corev1.Node{node("a", "x", tainted("k", corev1.TaintEffectPreferNoSchedule)), ab[1]}, nil, pod("p"), "b"},
		{"preferred zone", ab, []*corev1.Pod{web("b")}, pod("p", prefersZone), "b"},
		{"preferred company", ab, []*corev1.Pod{web("b")}, pod("p", prefersNear), "b"},
		{"preferred solitude", ab, []*corev1.Pod{web("a")}, pod("p", prefersFar), "b"},
		{"others prefer company", ab, []*corev1.Pod{pod("q", on("b"), prefersNear)}, pod("p", labelledAs("web")), "b"},
		{"even if it may be uneven", ab, []*corev1.Pod{web("a"), pod("r", on("b"), asks("cpu", "1"))},
			pod("p", labelledAs("web"), spreadOver(zone, 1, "web", corev1.ScheduleAnyway)), "b"},
		{"the image is there", []*corev1.Node{node("a", "x"), node("b", "y", hasImage)}, nil, pod("p"), "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := cluster(t, c.nodes, c.there...).Place(compiled(t, c.pod))
			if got != c.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestAServicesPodsSpreadThoughTheySayNothing(t *testing.T) {
	c := cluster(t, []*corev1.Node{node("a", "x"), node("b", "y")}, pod("big", on("b"), asks("cpu", "1")))
	count := map[string]int{}
	for i := range 6 {
		p := compiled(t, pod(fmt.Sprint("p", i), labelledAs("web")))
		p.Family = labels.SelectorFromSet(labels.Set{"app": "web"})
		at, err := c.Place(p)
		if err != nil {
			t.Fatal(err)
		}
		c.Put(p, at)
		count[at]++
	}
	if count["a"] != 3 || count["b"] != 3 {
		t.Errorf("got %v, want three on each", count)
	}
}

func TestCountsFollowPodsAndNodes(t *testing.T) {
	c := cluster(t, []*corev1.Node{node("a", "x"), node("b", "y")})
	shy := func(name string) *Pod { return compiled(t, pod(name, labelledAs("web"), farFrom("web", zone))) }
	place := func(p *Pod) string {
		at, err := c.Place(p)
		if unfit := (*Unfit)(nil); errors.As(err, &unfit) {
			if unfit.By != PodAffinity {
				t.Fatalf("rejected by %b, want PodAffinity", unfit.By)
			}
			return ""
		}
		c.Put(p, at)
		return at
	}
	first, second := place(shy("1")), place(shy("2"))
	if first == second || first == "" || second == "" {
		t.Fatalf("placed on %q and %q, want both nodes", first, second)
	}
	if at := place(shy("3")); at != "" {
		t.Fatalf("third placed on %q, want nowhere", at)
	}
	c.Remove("1")
	if at := place(shy("3")); at != first {
		t.Errorf("after the first ended: %q, want %q", at, first)
	}
	c.SetNode(node("c", "z"))
	if at := place(shy("4")); at != "c" {
		t.Errorf("with a new node: %q, want c", at)
	}
	c.SetNode(node("c", "y")) // now in the zone of b
	if at := place(shy("5")); at != "" {
		t.Errorf("with its zone changed: %q, want nowhere", at)
	}
	c.Remove("4")
	c.SetNode(node("c", "z"))
	c.RemoveNode("a")
	if at := place(shy("6")); at != "c" {
		t.Errorf("after a node left: %q, want c", at)
	}
}

func TestPodsAreKnownBeforeTheirNode(t *testing.T) {
	c := NewCluster()
	c.Put(compiled(t, pod("q", asks("cpu", "3"))), "a")
	c.SetNode(node("a", "x"))
	if at, err := c.Place(compiled(t, pod("p", asks("cpu", "2")))); err == nil {
		t.Errorf("placed on %q, want no room", at)
	}
	if c.NodeOf("q") != "a" || c.Size() != 1 {
		t.Errorf("q on %q of %d nodes, want a of 1", c.NodeOf("q"), c.Size())
	}
}

func TestNamespaceSelectorFollowsLabels(t *testing.T) {
	c := cluster(t, []*corev1.Node{node("a", "x"), node("b", "y")}, pod("q", on("b"), labelledAs("web"), func(p *corev1.Pod) { p.Namespace = "blue" }))
	p := compiled(t, pod("p", nearTo("web", zone), func(p *corev1.Pod) {
		p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "blue"}}
	}))
	if at, err := c.Place(p); err == nil {
		t.Errorf("placed on %q before the namespace had its label", at)
	}
	c.SetNamespace("blue", map[string]string{"team": "blue"})
	if at, err := c.Place(p); at != "b" {
		t.Errorf("placed on %q, %v; want b", at, err)
	}
}

func benchmark(b *testing.B, nodes int, change func(i int, p *Pod)) {
	c := NewCluster()
	for i := range nodes {
		c.SetNode(node(fmt.Sprintf("node-%d", i), fmt.Sprint("zone-", i%3), func(n *corev1.Node) {
			n.Status.Allocatable = quantities("cpu", "64k", "memory", "256Ti", "pods", "1000000")
		}))
	}
	i := 0
	for b.Loop() {
		p := compiled(b, pod(fmt.Sprint("p", i), asks("cpu", "1m", "memory", "1Ki"), labelledAs(fmt.Sprint(i%100))))
		change(i, p)
		at, err := c.Place(p)
		if err != nil {
			b.Fatal(err)
		}
		c.Put(p, at)
		i++
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "pods/s")
}

func BenchmarkPlaceOn5000Nodes(b *testing.B) { benchmark(b, 5000, func(int, *Pod) {}) }

func BenchmarkPlaceServicesOn5000Nodes(b *testing.B) {
	benchmark(b, 5000, func(i int, p *Pod) { p.Family = labels.SelectorFromSet(labels.Set{"app": fmt.Sprint(i % 100)}) })
}

func BenchmarkPlaceSpreadOn5000Nodes(b *testing.B) {
	benchmark(b, 5000, func(i int, p *Pod) {
		spreadOver(zone, 1, fmt.Sprint(i%100), corev1.DoNotSchedule)(p.Object)
		*p = *compiled(b, p.Object)
	})
}

func BenchmarkPlaceOn1Node(b *testing.B) { benchmark(b, 1, func(int, *Pod) {}) }
