package memory

import (
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector's target (GOGC).
const (
	startPercent = 400
	calmPercent  = 50 // a small heap is worth some work
)

const (
	busyRate = 16 << 20  // bytes allocated in a second from which on the program counts as busy
	busyRoom = 128 << 20 // bytes that a busy program may allocate from one collection to the next, at least
	calmRate = 4 << 20   // bytes allocated in a second up to which it counts as calm: what it does by itself stays below
	calmFor  = 3         // calm seconds after which memory is given back: a collection that holds up who is served just then
)

// Pace lets the collector run less often while much is allocated, since collections of a small heap would follow one
// another; when the program has been calm for a while, the room goes back to the kernel. It starts when the program has, and returns when ctx ends.
func Pace(ctx context.Context, log *slog.Logger) {
	p := pacer{percent: startPercent, calmed: func() { giveBack(log) }}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	p.allocated, _ = heap()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.second(heap())
		}
	}
}

// pacer is what the decision of each second needs of those before.
type pacer struct {
	percent   int
	allocated uint64 // since the program's start
	calm      int    // seconds
	calmed    func() // gives memory back
}

// second takes what was allocated since the start, and what is live, in bytes.
func (p *pacer) second(allocated, live uint64) {
	rate := allocated - p.allocated
	p.allocated = allocated
	if rate >= calmRate {
		p.calm = 0
		if rate >= busyRate {
			p.set(busyPercent(live))
		}
		return
	}
	if p.calm++; p.calm == calmFor && p.percent != calmPercent {
		p.set(calmPercent)
		p.calmed()
	}
}

func (p *pacer) set(percent int) {
	if p.percent != percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// busyPercent leaves room for as much again as is live, and for busyRoom if that is more. It is rounded, so that it
// changes seldom.
func busyPercent(live uint64) int {
	percent := 100
	for uint64(percent)*live/100 < busyRoom && percent < 800 {
		percent *= 2
	}
	return percent
}

func heap() (allocated, live uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
