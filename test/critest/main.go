// Command critest lets the CRI suite of cri-tools judge dhow's CRI. It builds the suite and the images that its tests
// use, starts a dhow in namespaces of its own, runs the tests, and ends with "N passed, N failed, N skipped". It is a
// module of its own: the product never depends on cri-tools.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options say what to run and where.
type options struct {
	dhow        string // the binary to judge
	focus, skip string // regular expressions of tests' whole names
	timeout     time.Duration
	out         string // where binaries and results are kept from one run to the next
	inside      bool   // this process has the namespaces of the run
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "critest:", err)
		os.Exit(1)
	}
}

func run() error {
	o, err := readOptions()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.inside {
		return judge(ctx, o)
	}
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it makes namespaces")
	}
	if err := buildBinaries(ctx, o.out); err != nil {
		return err
	}
	return runInside(ctx)
}

func readOptions() (options, error) {
	o := options{inside: os.Getenv(insideMark) != ""}
	flag.StringVar(&o.dhow, "dhow", "", "the dhow binary to judge")
	flag.StringVar(&o.focus, "focus", os.Getenv("FOCUS"), "run the tests whose full name matches (default: all; $FOCUS)")
	flag.StringVar(&o.skip, "skip", os.Getenv("SKIP"), "but not those that match this (default: benchmarks; $SKIP)")
	flag.DurationVar(&o.timeout, "timeout", time.Hour, "of the whole run")
	flag.StringVar(&o.out, "out", os.Getenv("CRITEST_OUT"), "folder for what is built and reported (default: in the user's cache; $CRITEST_OUT)")
	flag.Parse()
	if o.dhow == "" {
		return o, errors.New("--dhow is missing: the path of the binary (make build makes bin/dhow)")
	}
	var err error
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
		o.out = filepath.Join(cache, "dhow-critest")
	}
	o.out, err = filepath.Abs(o.out)
	return o, err
}

// judge starts a dhow, has the suite run on it, and reports.
func judge(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := makeLinks(ctx); err != nil {
		return err
	}
	registry, err := serveImages(o.out)
	if err != nil {
		return err
	}
	defer registry.close()
	d, err := startDhow(ctx, o, registry.address)
	if err != nil {
		return err
	}
	defer d.stop()
	path := filepath.Join(o.out, "report.json")
	if err := runSuite(ctx, o, d.socket(), path); err != nil {
		return err
	}
	return report(path, os.Stdout)
}
