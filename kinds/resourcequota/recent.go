package resourcequota

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/storage"
)

// inFlight is how long what was charged for may take to be stored and seen. Admission charges first: a count may be too
// low by what it does not see yet.
const inFlight = 2 * time.Second

// recent knows what was charged to each quota lately. It learns that from the quotas themselves, whoever charged them.
type recent struct {
	mu     sync.Mutex
	quotas map[types.NamespacedName]*history
}

type history struct {
	uid     types.UID
	version uint64
	used    corev1.ResourceList
	rises   []rise // oldest first
}

type rise struct {
	at     time.Time
	amount corev1.ResourceList
}

func newRecent() *recent { return &recent{quotas: map[types.NamespacedName]*history{}} }

// note sees a quota. Versions older than one that it has seen say nothing.
func (r *recent) note(q *corev1.ResourceQuota, now time.Time) {
	version, err := storage.APIObjectVersioner{}.ObjectResourceVersion(q)
	if err != nil {
		return // objects of the store have one
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := types.NamespacedName{Namespace: q.Namespace, Name: q.Name}
	h := r.quotas[key]
	if h == nil || h.uid != q.UID {
		r.quotas[key] = &history{uid: q.UID, version: version, used: q.Status.Used}
		return
	}
	if version <= h.version {
		return
	}
	more := corev1.ResourceList{}
	for name, amount := range q.Status.Used {
		before, counted := h.used[name]
		if amount.Cmp(before) > 0 && counted {
			amount = amount.DeepCopy()
			amount.Sub(before)
			more[name] = amount
		}
	}
	h.version, h.used = version, q.Status.Used
	if len(more) > 0 {
		h.rises = append(h.rises, rise{now, more})
	}
}

// charged is what was charged to a quota within inFlight, and how long it is until that is less.
func (r *recent) charged(key types.NamespacedName, now time.Time) (total corev1.ResourceList, less time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.quotas[key]
	if h == nil {
		return nil, 0
	}
	for len(h.rises) > 0 && now.Sub(h.rises[0].at) >= inFlight {
		h.rises = h.rises[1:]
	}
	if len(h.rises) == 0 {
		return nil, 0
	}
	for _, rise := range h.rises {
		total = quota.Add(total, rise.amount)
	}
	return total, inFlight - now.Sub(h.rises[0].at)
}

func (r *recent) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.quotas, key)
}
