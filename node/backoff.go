package node

import "time"

// backOff lengthens the time between tries: 10 s, 20 s, … up to five minutes, and begins anew after ten minutes
// without a try.
type backOff struct {
	delay time.Duration
	last  time.Time
}

const firstDelay, mostDelay = 10 * time.Second, 5 * time.Minute

// left is how long to wait yet, when the last try ended at a time.
func (b *backOff) left(ended, now time.Time) time.Duration {
	if b.delay == 0 || now.Sub(b.last) > 2*mostDelay {
		return 0
	}
	return max(0, b.delay-now.Sub(ended))
}

// tried notes a try.
func (b *backOff) tried(now time.Time) {
	switch {
	case b.delay == 0 || now.Sub(b.last) > 2*mostDelay:
		b.delay = firstDelay
	default:
		b.delay = min(2*b.delay, mostDelay)
	}
	b.last = now
}

// backOffOf finds or makes a key's.
func backOffOf(all map[string]*backOff, key string) *backOff {
	if all[key] == nil {
		all[key] = &backOff{}
	}
	return all[key]
}
