package queue

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/scheduler/placement"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func pod(name string, priority int32) *placement.Pod {
	return &placement.Pod{Object: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{Priority: &priority},
	}}
}

// name of a taken item, "" for none.
func name(i *Item) string {
	if i == nil {
		return ""
	}
	return i.Pod.Object.Name
}

func TestTakesByPriorityThenAge(t *testing.T) {
	q := New()
	q.Add(pod("old", 0), true, start)
	q.Add(pod("young", 0), true, start.Add(time.Second))
	q.Add(pod("urgent", 10), true, start.Add(2*time.Second))
	for _, want := range []string{"urgent", "old", "young", ""} {
		if got := name(q.Take(start.Add(time.Minute))); got != want {
			t.Errorf("took %q, want %q", got, want)
		}
	}
}

func TestAPodIsHeldOnce(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	q.Add(pod("p", 0), true, start)
	q.Take(start)
	if got := name(q.Take(start)); got != "" {
		t.Errorf("took %q a second time", got)
	}
}

func TestParkedPodsWakeForTheFilterThatRejectedThem(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	q.Park(q.Take(start), placement.Resources|placement.Ports, start)
	later := start.Add(time.Second) // beyond the first back-off
	q.Moved(placement.Taints, later)
	if got := name(q.Take(later)); got != "" {
		t.Fatalf("woken for another filter: %q", got)
	}
	q.Moved(placement.Ports, later)
	if got := name(q.Take(later)); got != "p" {
		t.Errorf("took %q, want p", got)
	}
}

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	now, want := start, FirstBackoff
	for range 12 {
		q.Park(q.Take(now), placement.Every, now)
		q.Moved(placement.Every, now)
		wait, some := q.Next(now)
		if wait != want || !some {
			t.Fatalf("waits %v, want %v", wait, want)
		}
		if got := name(q.Take(now.Add(wait - 1))); got != "" {
			t.Fatalf("took %q before its time", got)
		}
		now, want = now.Add(wait), min(2*want, LastBackoff)
	}
}

func TestAChangedPodWakesAnUnchangedOneDoesNot(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	q.Park(q.Take(start), placement.Every, start)
	later := start.Add(time.Minute)
	q.Add(pod("p", 0), false, later)
	if got := name(q.Take(later)); got != "" {
		t.Fatalf("took %q though nothing changed", got)
	}
	q.Add(pod("p", 0), true, later)
	if got := name(q.Take(later)); got != "p" {
		t.Errorf("took %q, want p", got)
	}
}

func TestPatienceEnds(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	q.Park(q.Take(start), placement.Every, start)
	if wait, some := q.Next(start); wait != Patience || !some {
		t.Errorf("next in %v, want %v", wait, Patience)
	}
	if got := name(q.Take(start.Add(Patience))); got != "p" {
		t.Errorf("took %q, want p", got)
	}
}

func TestRetryNeedsNoChange(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	q.Retry(q.Take(start), start)
	if got := name(q.Take(start.Add(FirstBackoff))); got != "p" {
		t.Errorf("took %q, want p", got)
	}
}

func TestAForgottenPodDoesNotComeBack(t *testing.T) {
	q := New()
	q.Add(pod("p", 0), true, start)
	i := q.Take(start)
	q.Forget("p")
	q.Park(i, placement.Every, start)
	q.Retry(i, start)
	if a, b, p := q.Len(); a+b+p != 0 || q.Knows("p") {
		t.Errorf("%d active, %d in back-off, %d parked; want none", a, b, p)
	}
}

func TestNothingToDoIsSaid(t *testing.T) {
	if wait, some := New().Next(start); some {
		t.Errorf("next in %v, want never", wait)
	}
}
