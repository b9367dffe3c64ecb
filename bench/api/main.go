// Command api measures dhow's API server beside upstream's kube-apiserver with etcd: one client program, one machine,
// one run, each measurement on one and then on the other. It prints a table and judges nothing. Both run in network
// and mount namespaces of their own; nothing is left behind. `make bench-api` builds what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"dhow/internal/isolate"
)

// sizes are how much is measured; the zero value measures nothing.
type sizes struct {
	creates  int // of ConfigMaps and Pods, for each number of clients
	pods     int // that lists, memory and the warm start are measured with
	morePods int // that memory is measured with again, or 0
	crds     int
	updates  int // that watchers are told of
}

// programs are what is measured.
type programs struct{ dhow, apiserver, etcd string }

func main() {
	var p programs
	s := sizes{}
	inside := flag.Bool("inside", false, "already in namespaces of its own")
	flag.StringVar(&p.dhow, "dhow", "bin/dhow", "the binary to measure")
	flag.StringVar(&p.apiserver, "kube-apiserver", "", "upstream's, to measure beside it")
	flag.StringVar(&p.etcd, "etcd", "", "upstream's, for upstream's kube-apiserver")
	flag.IntVar(&s.creates, "creates", 3000, "how many objects are created by each number of clients")
	flag.IntVar(&s.pods, "pods", 10000, "how many pods are listed")
	flag.IntVar(&s.morePods, "more-pods", 0, "with how many pods memory is measured at the end (50000 in full)")
	flag.IntVar(&s.crds, "crds", 100, "how many CRDs of ten objects each are made (1000 in full)")
	flag.IntVar(&s.updates, "updates", 100, "how many updates watchers are told of")
	only := flag.String("only", "", "measure only what begins with one of these words, separated by commas: Start, Memory, ConfigMap, Pod, List, Server, Watch, CRDs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return isolate.Again(ctx, "-inside") }
	if *inside {
		run = func() error { return measure(ctx, p, s, strings.Split(*only, ",")) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/api:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, p programs, s sizes, only []string) (err error) {
	if err := isolate.SetUp(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dhow-bench-api-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	both, err := servers(dir, p)
	if err != nil {
		return err
	}
	for _, s := range both {
		defer func() { err = errors.Join(err, s.end()) }()
	}
	t := &table{ctx: ctx, servers: both, sizes: s, only: only}
	t.head()
	for _, step := range []func(*table) error{
		starts, memoryEmpty, configMaps, pods, podsOfMemory, gets, lists, applies, fanOut, customResources, warmStarts, manyPods,
	} {
		if err := step(t); err != nil {
			return err
		}
	}
	return nil
}

// servers are ours, and theirs if it is there.
func servers(dir string, p programs) ([]*server, error) {
	ours, err := newDhow(filepath.Join(dir, "dhow"), p.dhow)
	if err != nil || p.apiserver == "" {
		return []*server{ours}, err
	}
	theirs, err := newUpstream(filepath.Join(dir, "upstream"), p.apiserver, p.etcd)
	return []*server{ours, theirs}, err
}
