package judge

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

// ginkgoReport is what ginkgo's JSON report tells of a run, as far as it is read here.
type ginkgoReport struct {
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

const longestMessage = 400

func (s spec) isTest() bool { return s.LeafNodeType == "It" }

func (s spec) name() string {
	text := strings.TrimSpace(strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " "))
	if text == "" {
		return s.LeafNodeType
	}
	return text
}

// outcome is Passed, Failed, Skipped (by the test itself), or "" for what was not chosen and for what is no test.
func (s spec) outcome() string {
	switch s.State {
	case "passed":
		if s.isTest() {
			return Passed
		}
		return ""
	case "skipped", "pending", "invalid":
		if s.isTest() && (s.NumAttempts > 0 || s.Failure.Message != "") {
			return Skipped
		}
		return ""
	}
	return Failed
}

// message is why, on one line.
func (s spec) message() string {
	text := strings.Join(strings.Fields(s.Failure.Message), " ")
	if len(text) > longestMessage {
		text = text[:longestMessage] + "…"
	}
	return text
}

// Report prints a line for each test that failed or was skipped, by ginkgo's JSON report at path, and then the totals. It
// is an error if a test failed or none ran.
func Report(path string, out io.Writer) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var suites []ginkgoReport
	if err := json.Unmarshal(data, &suites); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if len(suites) != 1 {
		return fmt.Errorf("read %s: it tells of %d suites, not of one", path, len(suites))
	}
	return suites[0].print(out)
}

func (r ginkgoReport) print(out io.Writer) error {
	var count Totals
	var lines []string
	for _, s := range r.SpecReports {
		what := s.outcome()
		if what == "" {
			continue
		}
		count.Add(what)
		if what != Passed {
			lines = append(lines, fmt.Sprintf("%s %s (%s): %s", strings.ToUpper(what), s.name(), s.RunTime.Round(time.Second), s.message()))
		}
	}
	slices.Sort(lines)
	for _, reason := range r.SpecialSuiteFailureReasons {
		lines = append(lines, "suite: "+reason)
	}
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintln(out, count)
	switch {
	case count.Failed > 0 || !r.SuiteSucceeded:
		return errors.New("not all tests passed")
	case count.Passed == 0:
		return errors.New("no test matches --focus and --skip")
	}
	return nil
}
