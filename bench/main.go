// Command bench measures dhow as a user meets it: through its binary and its API, on a node of its own in
// namespaces of its own. It prints one line per figure of DESIGN's table of budgets. `bench/run` builds what it
// needs and adds container figures beside crun's and runc's.
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

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"dhow/internal/isolate"
)

// bench is one run.
type bench struct {
	dhow, pause, dir string
	ctx              context.Context
	server           *exec.Cmd
	started          time.Time
	client           *kubernetes.Clientset
}

func main() {
	b := &bench{}
	inside := flag.Bool("inside", false, "already in namespaces of its own")
	flag.StringVar(&b.dhow, "dhow", "bin/dhow", "the binary to measure")
	flag.StringVar(&b.pause, "pause", "", "the static program that waits for ever, built from bench/pause")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	run := func() error { return isolate.Again(ctx, "-inside") }
	if *inside {
		run = b.run
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run() (err error) {
	if err := isolate.SetUp(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "dhow-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cleanUp()) }()
	if b.dhow, err = filepath.Abs(b.dhow); err != nil {
		return err
	}
	for _, measure := range []func() error{
		b.binary, b.coldStart, b.idleMemory, b.podLatency, b.podBurst, b.configMaps,
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// figure prints one result beside its budget; the columns are those of bench/run.
func figure(name, value, budget string) { fmt.Printf("%-46s %14s %10s\n", name, value, budget) }

func (b *bench) do(args ...string) error {
	out, err := exec.CommandContext(b.ctx, b.dhow, append([]string{"--root", b.dir}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("dhow %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// start runs the server; its log is kept in the directory and shown when it fails.
func (b *bench) start() error {
	log, err := os.Create(filepath.Join(b.dir, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	b.server = exec.Command(b.dhow, "--root", b.dir, "server")
	b.server.Stdout, b.server.Stderr = log, log
	b.started = time.Now()
	return b.server.Start()
}

// connect waits until the API server says that it is ready.
func (b *bench) connect() error {
	return b.poll("the API server", func() (bool, error) {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(b.dir, "etc/dhow/kubeconfig"))
		if err != nil {
			return false, nil // not written yet
		}
		config.QPS, config.Burst = -1, -1
		config.ContentType = "application/vnd.kubernetes.protobuf"
		if b.client, err = kubernetes.NewForConfig(config); err != nil {
			return false, err
		}
		return b.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(b.ctx).Error() == nil, nil
	})
}

// poll asks every 2 ms for at most a minute.
func (b *bench) poll(what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(b.dir, "server.log"))
			return fmt.Errorf("waiting for %s: %w\n%s", what, ctx.Err(), log)
		}
	}
}

func (b *bench) cleanUp() error {
	b.ctx = context.Background()
	if b.server != nil && b.server.Process != nil {
		_ = b.server.Process.Signal(syscall.SIGTERM)
		_ = b.server.Wait()
	}
	return errors.Join(b.do("reset", "--yes"), os.RemoveAll(b.dir))
}
