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
)

// options say what to run and where.
type options struct {
	dhow        string // the binary to judge
	suite       choice
	focus, skip string // regular expressions of tests' whole names
	procs       int    // tests at a time; those marked Serial run alone, at the end
	timeout     time.Duration
	out         string // where binaries, images and results are kept from one run to the next
	keep        bool
	inside      bool // this process has the namespaces of the run
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run() error {
	o, err := readOptions()
	if err != nil {
		return err
	}
	// The suite is given the signal by itself, cleans up and reports.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.inside {
		return judge(ctx, o)
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
	return runInside(ctx)
}

func readOptions() (options, error) {
	o := options{}
	flag.StringVar(&o.dhow, "dhow", "", "the dhow binary to judge")
	suite := flag.String("suite", env("SUITE", "all"), "all, or api: the tests of the API server alone, which run no pods ($SUITE)")
	flag.StringVar(&o.focus, "focus", os.Getenv("FOCUS"), "run the tests whose full name matches (default: those of conformance; $FOCUS)")
	flag.StringVar(&o.skip, "skip", os.Getenv("SKIP"), "but not those that match this (default: serial, slow and disruptive ones; $SKIP)")
	procs := flag.String("procs", env("PROCS", "4"), "tests at a time ($PROCS)")
	flag.DurationVar(&o.timeout, "timeout", 3*time.Hour, "of the whole run")
	flag.StringVar(&o.out, "out", os.Getenv("CONFORMANCE_OUT"), "folder for what is built and reported (default: in the user's cache; $CONFORMANCE_OUT)")
	flag.BoolVar(&o.keep, "keep", false, "keep the cluster's data and log")
	flag.Parse()
	o.inside = os.Getenv(insideMark) != ""
	var err error
	if o.suite, err = chosen(*suite); err != nil {
		return o, err
	}
	o.focus, o.skip = cmp.Or(o.focus, o.suite.focus), cmp.Or(o.skip, o.suite.skip)
	if o.procs, err = strconv.Atoi(*procs); err != nil || o.procs < 1 {
		return o, fmt.Errorf("--procs: %q is not a positive number", *procs)
	}
	if o.dhow == "" {
		return o, errors.New("--dhow is missing: the path of the binary (make build makes bin/dhow)")
	}
	if o.dhow, err = filepath.Abs(o.dhow); err != nil {
		return o, err
	}
	if _, err := os.Stat(o.dhow); err != nil {
		return o, fmt.Errorf("--dhow: %w", err)
	}
	if o.out == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return o, err
		}
		o.out = filepath.Join(cache, "dhow-conformance")
	}
	o.out, err = filepath.Abs(o.out)
	return o, err
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func (o options) bin() string    { return filepath.Join(o.out, "bin") }
func (o options) images() string { return filepath.Join(o.out, "images") }

// judge runs the suite against a cluster of its own.
func judge(ctx context.Context, o options) error {
	results := filepath.Join(o.out, "results", time.Now().Format("20060102-150405"))
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	c, err := startCluster(ctx, o, results)
	if err != nil {
		return err
	}
	defer c.stop()
	if o.suite.pods {
		if err := c.load(ctx, o.images()); err != nil {
			return err
		}
	}
	fmt.Println("running the suite; log in", results)
	if err := runSuite(ctx, o, c.kubeconfig(), results); err != nil {
		return err
	}
	return report(filepath.Join(results, "report.json"), os.Stdout)
}
