package main

import (
	"strings"
	"testing"
)

func TestTheReportNamesWhatFailedAndCountsTheRest(t *testing.T) {
	it := func(name, state, message string, attempts int) spec {
		s := spec{ContainerHierarchyTexts: []string{"[sig-x] group"}, LeafNodeText: name, LeafNodeType: "It", State: state, NumAttempts: attempts}
		s.Failure.Message = message
		return s
	}
	setUp := spec{LeafNodeType: "SynchronizedBeforeSuite", State: "passed"}
	cases := map[string]struct {
		report suiteReport
		want   string
		failed bool
	}{
		"all well": {
			suiteReport{SuiteSucceeded: true, SpecReports: []spec{setUp, it("a", "passed", "", 1), it("b", "skipped", "", 0), it("c", "skipped", "needs IPv6", 1)}},
			"1 passed, 0 failed, 1 skipped\n", false,
		},
		"one failed": {
			suiteReport{SpecReports: []spec{it("a", "passed", "", 1), it("b", "failed", "not\n  so", 1)}},
			"FAIL 0s [sig-x] group b: not so\n1 passed, 1 failed, 0 skipped\n", true,
		},
		"one cut off":     {suiteReport{SpecReports: []spec{it("a", "interrupted", "", 1)}}, "FAIL 0s [sig-x] group a: \n0 passed, 1 failed, 0 skipped\n", true},
		"nothing matches": {suiteReport{SuiteSucceeded: true, SpecReports: []spec{it("a", "skipped", "", 0)}}, "0 passed, 0 failed, 0 skipped\n", true},
		"ended too early": {
			suiteReport{SpecialSuiteFailureReasons: []string{"Suite Timeout Elapsed"}, SpecReports: []spec{it("a", "passed", "", 1)}},
			"suite: Suite Timeout Elapsed\n1 passed, 0 failed, 0 skipped\n", true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := c.report.print(&out); (err != nil) != c.failed {
				t.Errorf("error %v, want one: %v", err, c.failed)
			}
			if out.String() != c.want {
				t.Errorf("got %q, want %q", out.String(), c.want)
			}
		})
	}
}
