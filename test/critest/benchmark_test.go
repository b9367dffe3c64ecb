package main

import (
	"strings"
	"testing"
)

func TestBenchmarksAreToldByTheirMedian(t *testing.T) {
	m := measured{OperationsNames: []string{"A", "B"}}
	for _, ms := range []int64{9, 1, 3} {
		m.Datapoints = append(m.Datapoints, struct{ OperationsDurationsNs []int64 }{[]int64{ms * 1e6, 5e6}})
	}
	var out strings.Builder
	m.print(&out)
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "A median 3ms 95th of 100 9ms (3 times)" {
		t.Errorf("told: %q", lines)
	}
}
