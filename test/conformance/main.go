// Command conformance lets upstream Kubernetes' end-to-end suite judge dhow. It builds the suite and the images its
// tests use, starts a dhow in namespaces of its own, runs the tests, and ends with "N passed, N failed, N skipped".
// It is a module of its own: the product never depends on k8s.io/kubernetes.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"judge"
)

// options say what to run and where.
type options struct {
	judge.Options
	suite choice
	procs int // tests at a time; those marked Serial run alone, at the end
	keep  bool
}

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func start() error {
	o, err := readOptions()
	if err != nil {
		return err
	}
	// The suite is given the signal by itself, cleans up and reports.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if judge.Inside() {
		return run(ctx, o)
	}
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it makes namespaces and images whose files belong to root")
	}
	if err := buildBinaries(ctx, o.bin(), o.suite); err != nil {
		return err
	}
	if o.suite.pods {
		if err := buildImages(ctx, o); err != nil {
			return err
		}
	}
	return judge.Enter(ctx)
}

func readOptions() (options, error) {
	var o options
	o.Flags("conformance", 3*time.Hour)
	suite := flag.String("suite", judge.Env("SUITE", "all"), "all, or api: the tests of the API server alone, which run no pods ($SUITE)")
	procs := flag.String("procs", judge.Env("PROCS", "4"), "tests at a time ($PROCS)")
	flag.BoolVar(&o.keep, "keep", false, "keep the cluster's data and log")
	flag.Parse()
	var err error
	if o.suite, err = chosen(*suite); err != nil {
		return o, err
	}
	o.Focus, o.Skip = cmp.Or(o.Focus, o.suite.focus), cmp.Or(o.Skip, o.suite.skip)
	if o.procs, err = strconv.Atoi(*procs); err != nil || o.procs < 1 {
		return o, fmt.Errorf("--procs: %q is not a positive number", *procs)
	}
	return o, o.Complete()
}

func (o options) bin() string    { return filepath.Join(o.Out, "bin") }
func (o options) images() string { return filepath.Join(o.Out, "images") }

// run has the suite run on a cluster of its own, and reports.
func run(ctx context.Context, o options) error {
	results := filepath.Join(o.Out, "results", time.Now().Format("20060102-150405"))
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	if err := judge.MakeLinks(ctx); err != nil {
		return err
	}
	d, err := judge.Start(ctx, judge.Config{Program: o.Dhow, Results: results, Keep: o.keep})
	if err != nil {
		return err
	}
	defer d.Stop()
	if o.suite.pods {
		if err := load(ctx, d, o.images()); err != nil {
			return err
		}
	}
	fmt.Println("running the suite; log in", results)
	if err := runSuite(ctx, o, d, results); err != nil {
		return err
	}
	return judge.Report(filepath.Join(results, "report.json"), os.Stdout)
}

// load takes in the test images.
func load(ctx context.Context, d *judge.Dhow, dir string) error {
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return err
	}
	for _, a := range archives {
		if err := d.Run(ctx, "load", "-i", a); err != nil {
			return err
		}
	}
	return nil
}
