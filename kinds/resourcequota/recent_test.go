package resourcequota

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/check/checktest"
)

func podAmount(t *testing.T, pods string) corev1.ResourceList {
	t.Helper()
	return checktest.Object[corev1.ResourceQuotaStatus](t, `{used: {pods: `+pods+`}}`).Used
}

// seen is version n of a quota that uses so many pods.
func seen(t *testing.T, version, pods string) *corev1.ResourceQuota {
	t.Helper()
	return checktest.Object[corev1.ResourceQuota](t, `{metadata: {namespace: ns, name: q, uid: u, resourceVersion: "`+version+`"},
		spec: {hard: {pods: 9}}, status: {hard: {pods: 9}, used: {pods: `+pods+`}}}`)
}

func TestRisesAreRememberedForAWhile(t *testing.T) {
	noon, key := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), types.NamespacedName{Namespace: "ns", Name: "q"}
	r := newRecent()
	r.note(seen(t, "10", "3"), noon)
	r.note(seen(t, "11", "4"), noon)
	r.note(seen(t, "9", "1"), noon)                   // late
	r.note(seen(t, "12", "2"), noon.Add(time.Second)) // counted
	r.note(seen(t, "13", "4"), noon.Add(time.Second))
	for after, want := range map[time.Duration]string{
		time.Second: "3 1s", 2500 * time.Millisecond: "2 500ms", 4 * time.Second: "0 0s",
	} {
		fresh := newRecent()
		h := *r.quotas[key]
		fresh.quotas[key] = &h
		total, less := fresh.charged(key, noon.Add(after))
		if got := fmt.Sprint(total.Pods(), " ", less); got != want {
			t.Errorf("after %s: got %s, want %s", after, got, want)
		}
	}
}

func TestUseFallsAtMostToWhatIsCountedAndLatelyCharged(t *testing.T) {
	for _, c := range []struct{ used, counted, charged, want string }{
		{"5", "3", "0", "3"}, // gone
		{"5", "3", "1", "4"}, // one may be on its way
		{"5", "3", "4", "5"}, // never more than before …
		{"5", "7", "1", "7"}, // … unless they are there
	} {
		status, _ := plan(seen(t, "1", c.used), podAmount(t, c.counted), podAmount(t, c.charged))
		if got := status.Used.Pods().String(); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}
