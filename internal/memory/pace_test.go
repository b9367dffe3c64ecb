package memory

import (
	"runtime/debug"
	"testing"
)

func TestTheCollectorWaitsLongerWhileMuchIsAllocated(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(calmPercent))
	given := 0
	p := pacer{percent: calmPercent, calmed: func() { given++ }}
	for _, step := range []struct {
		what      string
		seconds   int
		rate      uint64
		live      uint64
		wantAfter int
	}{
		{"calm from the start", 5, 1 << 20, 30 << 20, calmPercent},
		{"busy with a small heap", 1, 100 << 20, 20 << 20, 800},
		{"busy with a large heap", 1, 100 << 20, 500 << 20, 100},
		{"calm for less than a while", calmFor - 1, 0, 500 << 20, 100},
		{"some traffic", 1, calmRate, 500 << 20, 100},
		{"calm for a while", calmFor, 0, 500 << 20, calmPercent},
	} {
		for range step.seconds {
			p.second(p.allocated+step.rate, step.live)
		}
		if now := debug.SetGCPercent(p.percent); now != step.wantAfter {
			t.Errorf("%s: GOGC is %d, want %d", step.what, now, step.wantAfter)
		}
	}
	if given != 1 {
		t.Errorf("memory was given back %d times", given)
	}
}
