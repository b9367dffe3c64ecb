package pod

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// stray is a pod on a node; "" is none.
func stray(node string, going bool, phase corev1.PodPhase) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
	if going {
		pod.DeletionTimestamp = &metav1.Time{Time: noon}
	}
	return pod
}

func nodeWith(ready corev1.ConditionStatus, taints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key})
	}
	return n
}

func TestWhichPodsAreCollected(t *testing.T) {
	for name, c := range map[string]struct {
		pod    *corev1.Pod
		node   *corev1.Node
		missed time.Duration // how long n has been missed before; 0: it has not
		want   []reason
	}{
		"running on its node":                       {pod: stray("n", false, corev1.PodRunning), node: nodeWith("True")},
		"waiting for a node":                        {pod: stray("", false, corev1.PodPending)},
		"going without ever having had a node":      {pod: stray("", true, corev1.PodPending), want: []reason{neverPlaced}},
		"going on a node at work":                   {pod: stray("n", true, corev1.PodRunning), node: nodeWith("True")},
		"node just gone":                            {pod: stray("n", false, corev1.PodRunning)},
		"node gone for 39 s":                        {pod: stray("n", false, corev1.PodRunning), missed: 39 * time.Second},
		"node gone for 40 s":                        {pod: stray("n", false, corev1.PodRunning), missed: 40 * time.Second, want: []reason{nodeGone}},
		"node is back":                              {pod: stray("n", false, corev1.PodRunning), node: nodeWith("True"), missed: time.Hour},
		"going on a node out of service":            {pod: stray("n", true, corev1.PodRunning), node: nodeWith("Unknown", corev1.TaintNodeOutOfService), want: []reason{nodeOutOfService}},
		"staying on a node out of service":          {pod: stray("n", false, corev1.PodRunning), node: nodeWith("Unknown", corev1.TaintNodeOutOfService)},
		"going on a ready node called out of order": {pod: stray("n", true, corev1.PodRunning), node: nodeWith("True", corev1.TaintNodeOutOfService)},
		"going on a lost node":                      {pod: stray("n", true, corev1.PodRunning), node: nodeWith("Unknown", corev1.TaintNodeUnreachable)},
		"ended, one of few":                         {pod: stray("n", false, corev1.PodSucceeded), node: nodeWith("True")},
	} {
		t.Run(name, func(t *testing.T) {
			var nodes []*corev1.Node
			if c.node != nil {
				nodes = append(nodes, c.node)
			}
			missing := map[string]time.Time{}
			if c.missed > 0 {
				missing["n"] = noon.Add(-c.missed)
			}
			var got []reason
			for _, d := range plan([]*corev1.Pod{c.pod}, nodes, missing, noon).doomed {
				got = append(got, d.why)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("collected for %v, want %v", got, c.want)
			}
		})
	}
}

func TestQuarantineIsLookedAtWhenItEnds(t *testing.T) {
	missing := map[string]time.Time{"n": noon.Add(-35 * time.Second)}
	todo := plan([]*corev1.Pod{stray("n", false, corev1.PodRunning)}, nil, missing, noon)
	if todo.after != 5*time.Second || todo.missing["n"] != missing["n"] {
		t.Errorf("after %s, missing %v", todo.after, todo.missing)
	}
}

func TestNodeThatCameBackIsForgotten(t *testing.T) {
	missing := map[string]time.Time{"n": noon.Add(-35 * time.Second)}
	todo := plan([]*corev1.Pod{stray("n", false, corev1.PodRunning)}, []*corev1.Node{nodeWith("True")}, missing, noon)
	if len(todo.missing) > 0 {
		t.Errorf("still missing: %v", todo.missing)
	}
}

func TestSurplusIsEvictedFirstThenOldest(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 5 { // p4 is the oldest
		p := stray("n", false, corev1.PodFailed)
		p.Name, p.CreationTimestamp = fmt.Sprintf("p%d", i), metav1.NewTime(noon.Add(time.Duration(-i)*time.Minute))
		pods = append(pods, p)
	}
	pods[1].Status.Reason = "Evicted"
	var got []string
	for _, p := range surplus(pods, 3) {
		got = append(got, p.Name)
	}
	if want := []string{"p1", "p4"}; !slices.Equal(got, want) {
		t.Errorf("surplus %v, want %v", got, want)
	}
}

func TestPodOfALostNodeEndsAsFailed(t *testing.T) {
	p := stray("n", false, corev1.PodRunning)
	p.Generation = 3
	got := failedPod(doom{p, nodeGone}).Status
	if got.Phase != corev1.PodFailed || got.ObservedGeneration != 3 || len(got.Conditions) != 1 {
		t.Fatalf("status %+v", got)
	}
	if c := got.Conditions[0]; c.Type != corev1.DisruptionTarget || c.Reason != "DeletionByPodGC" || c.Message != "PodGC: node no longer exists" {
		t.Errorf("condition %+v", c)
	}
	if p.Status.Phase != corev1.PodRunning {
		t.Error("the shared object was changed")
	}
}
