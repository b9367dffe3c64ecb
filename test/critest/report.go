package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// suiteReport is what ginkgo's JSON report tells of a run, as far as it is read here.
type suiteReport struct {
	SuiteSucceeded             bool
	SpecialSuiteFailureReasons []string
	SpecReports                []spec
}

// spec is a test, or what runs around the tests.
type spec struct {
	ContainerHierarchyTexts    []string
	LeafNodeText, LeafNodeType string
	State                      string
	RunTime                    time.Duration
	NumAttempts                int
	Failure                    struct{ Message string }
}

const longestMessage = 400

func (s spec) name() string {
	text := strings.TrimSpace(strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " "))
	if text == "" {
		return s.LeafNodeType
	}
	return text
}

// outcome is "passed", "failed", "skipped" (by the test itself), or "" for what was not chosen and for what is no test.
func (s spec) outcome() string {
	test := s.LeafNodeType == "It"
	switch s.State {
	case "passed":
		if test {
			return "passed"
		}
		return ""
	case "skipped", "pending":
		if test && (s.NumAttempts > 0 || s.Failure.Message != "") {
			return "skipped"
		}
		return ""
	}
	return "failed"
}

// message is why, on one line.
func (s spec) message() string {
	text := strings.Join(strings.Fields(s.Failure.Message), " ")
	if len(text) > longestMessage {
		text = text[:longestMessage] + "…"
	}
	return text
}

// report prints a line per test that failed or was skipped, and then the totals. It is an error if a test failed or none
// ran.
func report(path string, out io.Writer) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var suites []suiteReport
	if err := json.Unmarshal(data, &suites); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if len(suites) != 1 {
		return fmt.Errorf("read %s: it tells of %d suites, not of one", path, len(suites))
	}
	return suites[0].print(out)
}

func (r suiteReport) print(out io.Writer) error {
	count := map[string]int{}
	var lines []string
	for _, s := range r.SpecReports {
		what := s.outcome()
		count[what]++
		if what == "failed" || what == "skipped" {
			lines = append(lines, fmt.Sprintf("%s %s: %s", strings.ToUpper(what), s.name(), s.message()))
		}
	}
	slices.Sort(lines)
	for _, line := range append(lines, r.SpecialSuiteFailureReasons...) {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", count["passed"], count["failed"], count["skipped"])
	switch {
	case count["failed"] > 0 || !r.SuiteSucceeded:
		return errors.New("not all tests passed")
	case count["passed"] == 0:
		return errors.New("no test matches --focus and --skip")
	}
	return nil
}
