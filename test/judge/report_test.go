package judge

import (
	"strings"
	"testing"
)

func TestTheReportNamesWhatDidNotPassAndCountsTheRest(t *testing.T) {
	it := func(name, state, message string, attempts int) spec {
		s := spec{ContainerHierarchyTexts: []string{"[sig-x] group"}, LeafNodeText: name, LeafNodeType: "It", State: state, NumAttempts: attempts}
		s.Failure.Message = message
		return s
	}
	setUp := spec{LeafNodeType: "SynchronizedBeforeSuite", State: "passed"}
	cases := map[string]struct {
		report ginkgoReport
		want   string
		failed bool
	}{
		"all well": {
			ginkgoReport{SuiteSucceeded: true, SpecReports: []spec{setUp, it("a", "passed", "", 1), it("b", "skipped", "", 0), it("c", "skipped", "needs IPv6", 1)}},
			"SKIPPED [sig-x] group c (0s): needs IPv6\n1 passed, 0 failed, 1 skipped\n", false,
		},
		"one failed": {
			ginkgoReport{SpecReports: []spec{it("a", "passed", "", 1), it("b", "failed", "not\n  so", 1)}},
			"FAILED [sig-x] group b (0s): not so\n1 passed, 1 failed, 0 skipped\n", true,
		},
		"one cut off":     {ginkgoReport{SpecReports: []spec{it("a", "interrupted", "", 1)}}, "FAILED [sig-x] group a (0s): \n0 passed, 1 failed, 0 skipped\n", true},
		"nothing matches": {ginkgoReport{SuiteSucceeded: true, SpecReports: []spec{it("a", "skipped", "", 0)}}, "0 passed, 0 failed, 0 skipped\n", true},
		"ended too early": {
			ginkgoReport{SpecialSuiteFailureReasons: []string{"Suite Timeout Elapsed"}, SpecReports: []spec{it("a", "passed", "", 1)}},
			"suite: Suite Timeout Elapsed\n1 passed, 0 failed, 0 skipped\n", true,
		},
		"set-up failed": {
			ginkgoReport{SpecReports: []spec{{LeafNodeType: "BeforeSuite", State: "failed"}, it("a", "skipped", "", 0)}},
			"FAILED BeforeSuite (0s): \n0 passed, 1 failed, 0 skipped\n", true,
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
