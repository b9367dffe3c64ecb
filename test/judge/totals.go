package judge

import "fmt"

// What a test can end with.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped"
)

// Totals count tests by how they ended.
type Totals struct{ Passed, Failed, Skipped int }

// Add counts one. What is neither passed nor skipped has failed.
func (t *Totals) Add(outcome string) {
	switch outcome {
	case Passed:
		t.Passed++
	case Skipped:
		t.Skipped++
	default:
		t.Failed++
	}
}

// String is the line that every run ends with.
func (t Totals) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped)
}
