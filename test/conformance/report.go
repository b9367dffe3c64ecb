package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"
)

// suiteReport is what ginkgo's --json-report tells of a run, as far as it is read here.
type suiteReport struct {
	SuiteSucceeded             bool
	SpecialSuiteFailureReasons []string
	SpecReports                []spec
}

// spec is one node of the suite: a test, or what runs around the tests.
type spec struct {
	ContainerHierarchyTexts    []string
	LeafNodeText, LeafNodeType string
	State                      string
	RunTime                    time.Duration
	NumAttempts                int
	Failure                    struct{ Message string }
}

const longestMessage = 300

func (s spec) isTest() bool { return s.LeafNodeType == "It" }

func (s spec) name() string {
	text := strings.TrimSpace(strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " "))
	if text == "" {
		return s.LeafNodeType
	}
	return text
}

// outcome is "passed", "failed", "skipped" (by the test itself), or "" where the spec was not chosen.
func (s spec) outcome() string {
	switch s.State {
	case "passed":
		if s.isTest() {
			return "passed"
		}
		return ""
	case "skipped", "pending", "invalid":
		if s.isTest() && (s.NumAttempts > 0 || s.Failure.Message != "") {
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

// report prints a line per failed test and then the totals; it returns an error if a test failed or none ran.
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
	found := map[string][]spec{}
	for _, s := range r.SpecReports {
		found[s.outcome()] = append(found[s.outcome()], s)
	}
	failed := found["failed"]
	sort.Slice(failed, func(i, j int) bool { return failed[i].name() < failed[j].name() })
	for _, s := range failed {
		fmt.Fprintf(out, "FAIL %s %s: %s\n", s.RunTime.Round(time.Second), s.name(), s.message())
	}
	for _, reason := range r.SpecialSuiteFailureReasons {
		fmt.Fprintln(out, "suite:", reason)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", len(found["passed"]), len(failed), len(found["skipped"]))
	switch {
	case len(failed) > 0 || !r.SuiteSucceeded:
		return errors.New("not all tests passed")
	case len(found["passed"]) == 0:
		return errors.New("no test matches --focus and --skip")
	}
	return nil
}
