// Command containers measures containers as their users start them, by command line: dhow beside podman, and dhow-oci beside
// crun and runc, all in one run. Who is not installed has no figure. bench/run builds and calls it.
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
	"slices"
	"strings"
	"syscall"
	"time"

	"dhow/internal/isolate"
)

// bench is one run.
type bench struct {
	ctx       context.Context
	dir, dhow string
	rounds    int
	many      int
	engines   []engine
	runtimes  []runtime
}

func main() {
	b := &bench{}
	inside := flag.Bool("inside", false, "already in namespaces of its own")
	flag.StringVar(&b.dhow, "dhow", "bin/dhow", "the binary to measure")
	flag.IntVar(&b.rounds, "rounds", 15, "how often each is measured; the median counts")
	flag.IntVar(&b.many, "many", 100, "how many containers are started at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	run := func() error { return isolate.Again(ctx, "-inside") }
	if *inside {
		run = b.run
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench containers:", err)
		os.Exit(1)
	}
}

func (b *bench) run() (err error) {
	if err := isolate.SetUp(); err != nil {
		return err
	}
	hideUnified()
	if b.dir, err = os.MkdirTemp("", "bench-containers-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cleanUp()) }()
	if b.dhow, err = filepath.Abs(b.dhow); err != nil {
		return err
	}
	if err := b.prepare(); err != nil {
		return err
	}
	for _, measure := range []func() error{
		b.runtimeRun, b.runtimeExec, b.runExit, b.exec, b.stop, b.atOnce, b.logs,
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// hideUnified spares crun a machine that has version 2 of cgroups beside version 1, which it refuses.
func hideUnified() { _ = syscall.Unmount("/sys/fs/cgroup/unified", syscall.MNT_DETACH) }

func (b *bench) cleanUp() error {
	b.ctx = context.Background()
	var failed error
	for _, e := range b.engines {
		failed = errors.Join(failed, e.removeAll(b))
	}
	return errors.Join(failed, os.RemoveAll(b.dir))
}

// output runs a command to its end.
func (b *bench) output(args ...string) (string, error) {
	out, err := exec.CommandContext(b.ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// timed measures what each name does, in turns, so that what else the machine does meets all; the medians.
func (b *bench) timed(names []string, do func(i, round int) error) (map[string]time.Duration, error) {
	took := map[string][]time.Duration{}
	for round := range b.rounds {
		for i, name := range names {
			begin := time.Now()
			if err := do(i, round); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			took[name] = append(took[name], time.Since(begin))
		}
	}
	medians := map[string]time.Duration{}
	for name, all := range took {
		slices.Sort(all)
		medians[name] = all[len(all)/2]
	}
	return medians, nil
}

// row prints one result beside the peers'; the columns are those of bench/run.
func row(what, ours, budget string, peers []string) {
	fmt.Printf("%-46s %14s %10s   %s\n", what, ours, budget, strings.Join(peers, ", "))
}

// times prints a row of durations; the first name is ours.
func times(what, budget string, names []string, took map[string]time.Duration) {
	ms := func(name string) string { return fmt.Sprintf("%.1f ms", took[name].Seconds()*1000) }
	var peers []string
	for _, name := range names[1:] {
		peers = append(peers, name+" "+ms(name))
	}
	row(what, ms(names[0]), budget, peers)
}
