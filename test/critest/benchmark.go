package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// benchmarkSettings are how often the suite measures what.
const benchmarkSettings = `containersNumber: 20
podsNumber: 50
imagesNumber: 20
containerBenchmarkTimeoutSeconds: 120
podBenchmarkTimeoutSeconds: 120
imageBenchmarkTimeoutSeconds: 120
`

func benchmarkDir(out string) string { return filepath.Join(out, "benchmarks") }

// prepareBenchmarks returns the suite's arguments.
func prepareBenchmarks(out string) ([]string, error) {
	dir := benchmarkDir(out)
	settings := filepath.Join(dir, "settings.yaml")
	err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), os.WriteFile(settings, []byte(benchmarkSettings), 0o644))
	return []string{"-benchmark", "-benchmarking-output-dir=" + dir, "-benchmarking-params-file=" + settings}, err
}

// measured is what the suite writes of one benchmark.
type measured struct {
	OperationsNames []string
	Datapoints      []struct{ OperationsDurationsNs []int64 }
}

// tellBenchmarks prints a line for each operation.
func tellBenchmarks(dir string, to io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var m measured
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		m.print(to)
	}
	return nil
}

func (m measured) print(to io.Writer) {
	for i, name := range m.OperationsNames {
		var all []time.Duration
		for _, p := range m.Datapoints {
			all = append(all, time.Duration(p.OperationsDurationsNs[i]))
		}
		slices.Sort(all)
		if n := len(all); n > 0 {
			fmt.Fprintf(to, "%-16s median %8s  95th of 100 %8s  (%d times)\n", name, all[n/2].Round(10*time.Microsecond), all[n*95/100].Round(10*time.Microsecond), n)
		}
	}
}
