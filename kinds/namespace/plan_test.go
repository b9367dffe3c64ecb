package namespace

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

func TestConditionsSayWhatIsInTheWay(t *testing.T) {
	jobs := schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	for _, test := range []struct {
		name            string
		found           content
		kind            corev1.NamespaceConditionType
		reason, message string
	}{
		{"nothing", content{}, corev1.NamespaceContentRemaining, "ContentRemoved", "All content successfully removed"},
		{"objects", content{left: map[schema.GroupVersionResource]int{podsResource: 2, jobs: 1}}, corev1.NamespaceContentRemaining,
			"SomeResourcesRemain", "Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances"},
		{"finalizers", content{finalizers: map[string]int{"b": 1, "a": 2}}, corev1.NamespaceFinalizersRemaining,
			"SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: a in 2 resource instances, b in 1 resource instances"},
		{"failures", content{failures: []error{errors.New("y"), errors.New("x")}}, corev1.NamespaceDeletionContentFailure,
			"ContentDeletionFailed", "Failed to delete all resource types, 2 remaining: x, y"},
		{"discovery", content{discovery: &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: "g", Version: "v1"}: errors.New("down")}}},
			corev1.NamespaceDeletionDiscoveryFailure, "DiscoveryFailed",
			"Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: g/v1: down"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, c := range test.found.conditions() {
				if c.Type == test.kind && (c.Reason != test.reason || c.Message != test.message) {
					t.Errorf("%s: %s", c.Reason, c.Message)
				}
			}
		})
	}
}

func TestAConditionKeepsItsTimeUntilItsStatusTurns(t *testing.T) {
	then, now := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	old, _ := withConditions(nil, content{}.conditions(), then)
	if _, changed := withConditions(old, content{}.conditions(), now); changed {
		t.Error("the same conditions count as a change")
	}
	next, changed := withConditions(old, content{finalizers: map[string]int{"f": 1}}.conditions(), now)
	if !changed {
		t.Fatal("a change is not seen")
	}
	for _, c := range next {
		want := then
		if c.Type == corev1.NamespaceFinalizersRemaining {
			want = now
		}
		if !c.LastTransitionTime.Equal(&want) {
			t.Errorf("%s turned at %v, want %v", c.Type, c.LastTransitionTime, want)
		}
	}
}

func TestPatienceGrowsWithAge(t *testing.T) {
	for age, want := range map[time.Duration]time.Duration{0: shortest, 4 * time.Second: time.Second, time.Hour: longest} {
		if got := patience(age); got != want {
			t.Errorf("after %s: %s, want %s", age, got, want)
		}
	}
}
