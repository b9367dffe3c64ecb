package owned

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func object(uid types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: string(uid), UID: uid}}
}

// look is what a flight shows, by UID.
func look(f *Flight[*corev1.Pod], owner types.NamespacedName, now time.Time, seen ...*corev1.Pod) (uids []string, late bool) {
	all, late := f.See(owner, seen, now)
	for _, o := range all {
		uids = append(uids, string(o.UID))
	}
	slices.Sort(uids)
	return uids, late
}

func expect(t *testing.T, what string, got []string, late bool, want []string, wantLate bool) {
	t.Helper()
	if !slices.Equal(got, want) || late != wantLate {
		t.Errorf("%s: %v, late %v; want %v, %v", what, got, late, want, wantLate)
	}
}

func TestWhatIsMadeCountsBeforeTheWatchShowsIt(t *testing.T) {
	f, owner, now := NewFlight[*corev1.Pod](), Key(object("owner")), time.Unix(1000, 0)
	f.Made(owner, object("a"), now)
	got, late := look(f, owner, now)
	expect(t, "not shown", got, late, []string{"a"}, true)
	got, late = look(f, owner, now, object("a"))
	expect(t, "shown", got, late, []string{"a"}, false)
	got, late = look(f, owner, now)
	expect(t, "shown no more", got, late, nil, false)
}

func TestWhatIsDeletedCountsNoMore(t *testing.T) {
	f, owner, now := NewFlight[*corev1.Pod](), Key(object("owner")), time.Unix(1000, 0)
	f.Deleted(owner, "a", now)
	got, late := look(f, owner, now, object("a"), object("b"))
	expect(t, "still shown", got, late, []string{"b"}, true)
	got, late = look(f, owner, now, object("b"))
	expect(t, "gone", got, late, []string{"b"}, false)
}

func TestWhatIsMadeAndEndsBeforeItIsLookedAtIsNotAwaited(t *testing.T) {
	f, owner, now := NewFlight[*corev1.Pod](), Key(object("owner")), time.Unix(1000, 0)
	f.Made(owner, object("a"), now)
	f.Ended(owner, "a", now)
	got, late := look(f, owner, now)
	expect(t, "ended after the answer", got, late, nil, false)
	f.Ended(owner, "b", now)
	f.Made(owner, object("b"), now)
	got, late = look(f, owner, now)
	expect(t, "ended before the answer", got, late, nil, false)
}

func TestWatchIsBelievedInTheEnd(t *testing.T) {
	f, owner, now := NewFlight[*corev1.Pod](), Key(object("owner")), time.Unix(1000, 0)
	f.Made(owner, object("a"), now)
	f.Deleted(owner, "b", now)
	got, late := look(f, owner, now.Add(Lag-time.Second), object("b"))
	expect(t, "before", got, late, []string{"a"}, true)
	got, late = look(f, owner, now.Add(Lag), object("b"))
	expect(t, "after", got, late, []string{"b"}, false)
}

func TestOwnerOfTheSameNameInheritsNothing(t *testing.T) {
	f, now := NewFlight[*corev1.Pod](), time.Unix(1000, 0)
	first, second := object("owner"), object("owner")
	second.UID = "another"
	f.Owner(first)
	f.Made(Key(first), object("a"), now)
	f.Owner(first)
	got, late := look(f, Key(first), now)
	expect(t, "first", got, late, []string{"a"}, true)
	f.Owner(second)
	got, late = look(f, Key(second), now)
	expect(t, "second", got, late, nil, false)
}

func TestEndsAreNotKept(t *testing.T) {
	f, owner, now := NewFlight[*corev1.Pod](), Key(object("owner")), time.Unix(1000, 0)
	f.Deleted(owner, "a", now)
	look(f, owner, now.Add(answerTime))
	if n := len(f.owners[owner].gone); n != 0 {
		t.Errorf("%d ends are kept", n)
	}
	f.Forget(owner)
	f.Ended(owner, "b", now)
	if len(f.owners) != 0 {
		t.Errorf("a forgotten owner is kept: %v", f.owners)
	}
}
