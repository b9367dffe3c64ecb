package replicas

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// running is a pod that has been ready for so long.
func running(name string, ready time.Duration) *corev1.Pod {
	since := metav1.NewTime(noon.Add(-ready))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(noon.Add(-ready - time.Second)), Labels: map[string]string{"a": "b"}},
		Spec:       corev1.PodSpec{NodeName: "on-" + name},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: since},
		}},
	}
}

func with(p *corev1.Pod, edit func(*corev1.Pod)) *corev1.Pod {
	edit(p)
	return p
}

func set(replicas int32) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "n", UID: "r", Generation: 3},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"x": "y"}, Finalizers: []string{"f/f"},
		}}},
	}
}

func TestPlanMakesWhatIsMissing(t *testing.T) {
	ended := with(running("ended", time.Hour), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	going := with(running("going", time.Hour), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} })
	pods := []*corev1.Pod{running("a", time.Hour), ended, going}
	for want, replicas := range map[int]int32{0: 1, 2: 3, mostAtOnce: 10000} {
		if got := plan(set(replicas), pods, pods, noon); got.create != want || got.remove != nil {
			t.Errorf("for %d replicas: %+v", replicas, got)
		}
	}
}

func TestPlanDeletesWhatIsMissedLeast(t *testing.T) {
	waiting := func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
	pending := func(p *corev1.Pod) { waiting(p); p.Status.Phase = corev1.PodPending }
	unscheduled := func(p *corev1.Pod) { pending(p); p.Spec.NodeName = "" }
	cost := func(c string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: c} }
	}
	restarted := func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 3}} }
	always := corev1.ContainerRestartPolicyAlways
	sidecar := func(count int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "s", RestartPolicy: &always}, {Name: "once"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "s", RestartCount: count}, {Name: "once", RestartCount: 3 - count}}
		}
	}
	shared := func(p *corev1.Pod) { p.Spec.NodeName = "shared" }
	h := time.Hour
	for name, test := range map[string]struct {
		first, second *corev1.Pod
		related       []*corev1.Pod
	}{
		"unscheduled before pending":   {with(running("b", h), unscheduled), with(running("a", h), pending), nil},
		"pending before not ready":     {with(running("b", h), pending), with(running("a", h), waiting), nil},
		"not ready before ready":       {with(running("b", h), waiting), running("a", time.Second), nil},
		"cheap before dear":            {with(running("b", h), cost("-1")), running("a", time.Second), nil},
		"cost that is no number is 0":  {with(running("a", h), cost("x")), with(running("b", h), cost("1")), nil},
		"dear after what restarted":    {with(running("b", h), restarted), with(running("a", time.Second), cost("1")), nil},
		"doubled up before alone":      {with(running("b", h), shared), running("a", time.Second), []*corev1.Pod{with(running("c", h), shared), with(running("d", h), shared)}},
		"ready for less long first":    {running("b", time.Minute), running("a", h), nil},
		"about as long ready: by UID":  {running("a", 60*time.Minute), running("b", 59*time.Minute), nil},
		"restarted more often first":   {with(running("b", h), restarted), running("a", h), nil},
		"restarted sidecar first":      {with(running("b", h), sidecar(2)), with(running("a", h), sidecar(1)), nil},
		"made last first":              {with(running("b", h), func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(noon.Add(-time.Second)) }), running("a", h), nil},
		"ready before made: ready won": {with(running("b", time.Minute), func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(noon.Add(-9 * h)) }), running("a", h), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pods := range [][]*corev1.Pod{{test.first, test.second}, {test.second, test.first}} {
				got := plan(set(1), pods, append(test.related, pods...), noon)
				if len(got.remove) != 1 || got.remove[0] != test.first {
					t.Errorf("%v goes", got.remove[0].Name)
				}
			}
		})
	}
}

func TestStatusCounts(t *testing.T) {
	rs := set(5)
	rs.Spec.MinReadySeconds = 10
	pods := []*corev1.Pod{
		running("old", time.Hour), running("new", 4*time.Second), running("newer", time.Second),
		with(running("other", time.Hour), func(p *corev1.Pod) { p.Labels = nil; p.Status.Conditions = nil }),
		with(running("going", time.Hour), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} }),
		with(running("ended", time.Hour), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
	}
	s, after := statusOf(rs, pods, nil, noon)
	got := fmt.Sprint(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas, *s.TerminatingReplicas, s.ObservedGeneration, after)
	if got != "4 3 3 1 1 3 6s" {
		t.Errorf("got %s", got)
	}
}

func TestFirstFailureIsToldUntilItIsOver(t *testing.T) {
	rs := set(2)
	for _, step := range []struct {
		pods   []*corev1.Pod
		failed error
		want   string
	}{
		{nil, errors.New("quota"), "FailedCreate quota"},
		{nil, errors.New("another"), "FailedCreate quota"},
		{nil, nil, ""},
		{[]*corev1.Pod{running("a", 0), running("b", 0), running("c", 0)}, errors.New("no"), "FailedDelete no"},
	} {
		rs.Status, _ = statusOf(rs, step.pods, step.failed, noon)
		got := ""
		for _, c := range rs.Status.Conditions {
			got += c.Reason + " " + c.Message
		}
		if got != step.want {
			t.Errorf("after %v: %q", step.failed, got)
		}
	}
}

func TestBatchesGrowAndStopAtTheFirstError(t *testing.T) {
	count := func(n, failAt int) (calls int, err error) {
		var mu sync.Mutex
		err = inBatches(n, func() error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == failAt {
				return errors.New("no")
			}
			return nil
		})
		return calls, err
	}
	if calls, err := count(10, 0); calls != 10 || err != nil {
		t.Errorf("%d calls, %v", calls, err)
	}
	for failAt, want := range map[int]int{1: 1, 2: 3, 5: 7, 9: 10} {
		if calls, err := count(10, failAt); calls != want || err == nil {
			t.Errorf("when call %d fails: %d calls, %v", failAt, calls, err)
		}
	}
}

func TestPodIsOfTheTemplate(t *testing.T) {
	p := newPod(set(1), appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	owner := metav1.GetControllerOf(p)
	if p.GenerateName != "r-" || p.Namespace != "n" || p.Labels["a"] != "b" || p.Annotations["x"] != "y" || !slices.Equal(p.Finalizers, []string{"f/f"}) {
		t.Errorf("%+v", p.ObjectMeta)
	}
	if owner == nil || owner.UID != "r" || owner.Kind != "ReplicaSet" || !*owner.BlockOwnerDeletion {
		t.Errorf("owner %+v", owner)
	}
}
