// Package queue is the order in which pods are scheduled: those that can be tried now by priority and age, those
// that wait out a back-off, and those that wait for something to change. It is pure: the caller tells it the time.
package queue

import (
	"cmp"
	"container/heap"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"dhow/scheduler/placement"
)

// Bounds of the wait after a failed try, which doubles from one to the next.
const (
	FirstBackoff = 50 * time.Millisecond
	LastBackoff  = 10 * time.Second
	// Patience is how long a pod waits for a change before it is tried all the same, lest a change was overlooked.
	Patience = 5 * time.Minute
)

// Item is one pod that waits for a node.
type Item struct {
	Pod      *placement.Pod
	Since    time.Time        // when it came
	Tries    int              // so far
	By       placement.Filter // which filters rejected it last
	until    time.Time        // the end of its back-off, or of its patience while parked
	resting  time.Time        // the end of its back-off while parked
	in       *line            // nil: taken out
	position int
}

func (i *Item) priority() int32 {
	if p := i.Pod.Object.Spec.Priority; p != nil {
		return *p
	}
	return 0
}

// Queue holds each pod once. One goroutine at a time uses it.
type Queue struct {
	items                   map[types.UID]*Item
	active, backoff, parked line
}

// New returns an empty queue.
func New() *Queue {
	soonest := func(a, b *Item) int { return a.until.Compare(b.until) }
	return &Queue{
		items: map[types.UID]*Item{},
		active: line{less: func(a, b *Item) int {
			return cmp.Or(cmp.Compare(b.priority(), a.priority()), a.Since.Compare(b.Since))
		}},
		backoff: line{less: soonest},
		parked:  line{less: soonest},
	}
}

// Add lets a pod be tried at once. A pod that is known is replaced; if it changed in a way that may matter, it is
// tried again as soon as its back-off is over.
func (q *Queue) Add(p *placement.Pod, changed bool, now time.Time) {
	i := q.items[p.Object.UID]
	if i == nil {
		i = &Item{Pod: p, Since: now}
		q.items[p.Object.UID] = i
		q.to(&q.active, i)
		return
	}
	i.Pod = p
	switch {
	case i.in == &q.parked && changed:
		q.wake(i, now)
	case i.in != nil:
		heap.Fix(i.in, i.position) // its priority may have changed
	}
}

// Knows says whether the pod waits here or was taken and not yet forgotten.
func (q *Queue) Knows(uid types.UID) bool { return q.items[uid] != nil }

// Forget a pod, wherever it is.
func (q *Queue) Forget(uid types.UID) {
	if i := q.items[uid]; i != nil {
		q.leave(i)
		delete(q.items, uid)
	}
}

// Take the pod that is next, nil when there is none at this time. It stays known until Forget or one of the ways
// back: Park, Retry.
func (q *Queue) Take(now time.Time) *Item {
	q.promote(now)
	if q.active.Len() == 0 {
		return nil
	}
	i := q.active.items[0]
	q.leave(i)
	i.Tries++
	return i
}

// Park a taken pod until something changes that could please a filter in by.
func (q *Queue) Park(i *Item, by placement.Filter, now time.Time) {
	if q.items[i.Pod.Object.UID] != i {
		return // it was deleted meanwhile
	}
	i.By, i.resting, i.until = by, now.Add(i.delay()), now.Add(Patience)
	q.to(&q.parked, i)
}

// Retry a taken pod after its back-off, come what may.
func (q *Queue) Retry(i *Item, now time.Time) {
	if q.items[i.Pod.Object.UID] != i {
		return
	}
	i.until = now.Add(i.delay())
	q.to(&q.backoff, i)
}

// Moved says that something changed in favour of filters: pods that those rejected may be tried again.
func (q *Queue) Moved(filters placement.Filter, now time.Time) {
	var woken []*Item
	for _, i := range q.parked.items {
		if i.By&filters != 0 {
			woken = append(woken, i)
		}
	}
	for _, i := range woken {
		q.wake(i, now)
	}
}

// Next is when Take will have a pod: now, later, or (false) not unless something happens.
func (q *Queue) Next(now time.Time) (time.Duration, bool) {
	if q.active.Len() > 0 {
		return 0, true
	}
	wait, some := time.Duration(0), false
	for _, l := range []*line{&q.backoff, &q.parked} {
		if l.Len() > 0 {
			until := max(0, l.items[0].until.Sub(now))
			if !some || until < wait {
				wait, some = until, true
			}
		}
	}
	return wait, some
}

// Len counts the pods that can be tried, that wait out a back-off, and that wait for a change.
func (q *Queue) Len() (active, backoff, parked int) {
	return q.active.Len(), q.backoff.Len(), q.parked.Len()
}

func (i *Item) delay() time.Duration {
	d := FirstBackoff
	for n := 1; n < i.Tries && d < LastBackoff; n++ {
		d *= 2
	}
	return min(d, LastBackoff)
}

// wake lets a parked pod be tried once its back-off is over.
func (q *Queue) wake(i *Item, now time.Time) {
	if i.resting.After(now) {
		i.until = i.resting
		q.to(&q.backoff, i)
		return
	}
	q.to(&q.active, i)
}

// promote pods whose back-off or patience is over.
func (q *Queue) promote(now time.Time) {
	for _, l := range []*line{&q.backoff, &q.parked} {
		for l.Len() > 0 && !l.items[0].until.After(now) {
			q.to(&q.active, l.items[0])
		}
	}
}

func (q *Queue) to(l *line, i *Item) {
	q.leave(i)
	i.in = l
	heap.Push(l, i)
}

func (q *Queue) leave(i *Item) {
	if i.in != nil {
		heap.Remove(i.in, i.position)
		i.in = nil
	}
}

// line is a heap of items.
type line struct {
	items []*Item
	less  func(a, b *Item) int
}

// Len implements heap.Interface.
func (l *line) Len() int { return len(l.items) }

// Less implements heap.Interface.
func (l *line) Less(a, b int) bool { return l.less(l.items[a], l.items[b]) < 0 }

// Swap implements heap.Interface.
func (l *line) Swap(a, b int) {
	l.items[a], l.items[b] = l.items[b], l.items[a]
	l.items[a].position, l.items[b].position = a, b
}

// Push implements heap.Interface.
func (l *line) Push(x any) {
	i := x.(*Item)
	i.position = len(l.items)
	l.items = append(l.items, i)
}

// Pop implements heap.Interface.
func (l *line) Pop() any {
	last := len(l.items) - 1
	i := l.items[last]
	l.items[last] = nil
	l.items = l.items[:last]
	return i
}
