package main

import (
	"strings"
	"testing"
)

func TestTheReportCountsTestsAndNamesThoseThatDidNotPass(t *testing.T) {
	r := suiteReport{SpecReports: []spec{
		{LeafNodeText: "works", LeafNodeType: "It", State: "passed", NumAttempts: 1},
		{LeafNodeType: "BeforeSuite", State: "passed", NumAttempts: 1},
		{ContainerHierarchyTexts: []string{"[k8s.io] Pod"}, LeafNodeText: "breaks", LeafNodeType: "It", State: "failed", NumAttempts: 1,
			Failure: struct{ Message string }{"it is\n  so"}},
		{LeafNodeText: "cannot be", LeafNodeType: "It", State: "skipped", NumAttempts: 1},
		{LeafNodeText: "not chosen", LeafNodeType: "It", State: "skipped"},
	}}
	var out strings.Builder
	if err := r.print(&out); err == nil {
		t.Error("a failed test is no error")
	}
	want := "FAILED [k8s.io] Pod breaks: it is so\nSKIPPED cannot be: \n1 passed, 1 failed, 1 skipped\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}
