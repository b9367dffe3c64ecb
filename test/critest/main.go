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
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"judge"
)

// options say what to run and where.
type options struct {
	judge.Options
	benchmark bool
}

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "critest:", err)
		os.Exit(1)
	}
}

func start() error {
	var o options
	o.Flags("critest", time.Hour)
	flag.BoolVar(&o.benchmark, "benchmark", false, "run the benchmarks in place of the tests")
	flag.Parse()
	if err := o.Complete(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if judge.Inside() {
		return run(ctx, o)
	}
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it makes namespaces")
	}
	if err := prepare(ctx, o.Out); err != nil {
		return err
	}
	return judge.Enter(ctx)
}

// prepare builds the suite and the programs in the images, about two minutes the first time, and gets Debian's.
func prepare(ctx context.Context, dir string) error {
	if err := debian(dir).Download(ctx, "busybox"); err != nil {
		return err
	}
	return judge.Build(ctx, dir,
		judge.Binary{Name: "critest", Package: "sigs.k8s.io/cri-tools/cmd/critest", Test: true},
		judge.Binary{Name: "webserver", Package: "critest/webserver"},
		judge.Binary{Name: "nonewprivs", Package: "critest/nonewprivs"},
		judge.Binary{Name: "tools", Package: "critest/tools"})
}

func debian(dir string) judge.Packages { return judge.Packages{Dir: filepath.Join(dir, "debs")} }

// registries sends the suite's registries to ours; the last one is the benchmarks'.
const registries = `mirrors:
  gcr.io:
    endpoint: ["http://%[1]s"]
  registry.k8s.io:
    endpoint: ["http://%[1]s"]
  public.ecr.aws:
    endpoint: ["http://%[1]s"]
`

// run starts a dhow, has the suite run on it, and reports.
func run(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := judge.MakeLinks(ctx); err != nil {
		return err
	}
	registry, err := serveImages(ctx, o.Out)
	if err != nil {
		return err
	}
	defer registry.close()
	d, err := judge.Start(ctx, judge.Config{Program: o.Dhow, Results: o.Out, Registries: fmt.Sprintf(registries, registry.address)})
	if err != nil {
		return err
	}
	defer d.Stop()
	report := filepath.Join(o.Out, "report.json")
	var more []string
	if o.benchmark {
		if more, err = prepareBenchmarks(o.Out); err != nil {
			return err
		}
	}
	if err := judge.RunSuite(o.suite(ctx, d.Socket(), report, more), report); err != nil {
		return err
	}
	if o.benchmark {
		if err := tellBenchmarks(benchmarkDir(o.Out), os.Stdout); err != nil {
			return err
		}
	}
	return judge.Report(report, os.Stdout)
}

func (o options) suite(ctx context.Context, socket, report string, more []string) *exec.Cmd {
	args := append(more,
		"-runtime-endpoint=unix://"+socket, "-image-endpoint=unix://"+socket, "-test.timeout=0",
		"-ginkgo.no-color", "-ginkgo.json-report="+report, "-ginkgo.timeout="+o.Timeout.String())
	if o.Focus != "" {
		args = append(args, "-ginkgo.focus="+o.Focus)
	}
	if o.Skip != "" {
		args = append(args, "-ginkgo.skip="+o.Skip)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.Out, "critest"), args...)
	cmd.Dir = o.Out
	return cmd
}
