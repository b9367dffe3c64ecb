package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// insideMark is the variable that tells a process that it has namespaces of its own.
const insideMark = "DHOW_CRITEST_INSIDE"

// runInside runs this program again, in network, mount and IPC namespaces of its own.
func runInside(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideMark+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		os.Exit(exit.ExitCode()) // it has said why
	} else if err != nil {
		return err
	}
	return nil
}

// makeLinks makes the only ones that the run sees: loopback, and a pair whose near end is the machine's.
func makeLinks(ctx context.Context) error {
	for _, link := range []string{
		"link set lo up",
		"link add eth0 type veth peer name far",
		"address add 192.0.2.10/24 dev eth0",
		"link set eth0 up",
		"link set far up",
		"route add default via 192.0.2.1",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(link)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s (is iproute2 installed?)", link, err, out)
		}
	}
	return nil
}

// dhow is one that runs on a root of its own.
type dhow struct {
	program, root string
	server        *exec.Cmd
	ended         chan error
}

// registries sends the suite's two registries to ours.
const registries = `mirrors:
  gcr.io:
    endpoint: ["http://%[1]s"]
  registry.k8s.io:
    endpoint: ["http://%[1]s"]
`

// startDhow returns when its CRI answers. Its log is in the results.
func startDhow(ctx context.Context, o options, registry string) (*dhow, error) {
	root, err := os.MkdirTemp("", "dhow-critest-")
	if err != nil {
		return nil, err
	}
	d := &dhow{program: o.dhow, root: root, ended: make(chan error, 1)}
	if err := os.MkdirAll(filepath.Join(root, "etc/dhow"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/dhow/registries.yaml"), fmt.Appendf(nil, registries, registry), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.out, "dhow.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.server = exec.Command(o.dhow, "--root", root, "server")
	d.server.Stdout, d.server.Stderr = log, log
	if err := d.server.Start(); err != nil {
		return nil, err
	}
	go func() { d.ended <- d.server.Wait() }()
	if err := d.waitReady(ctx, log.Name()); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *dhow) socket() string { return filepath.Join(d.root, "run/dhow/cri.sock") }

// waitReady waits for the node, which comes after its CRI and its pods' network.
func (d *dhow) waitReady(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for again := time.NewTicker(200 * time.Millisecond); ; {
		if d.run(ctx, "kubectl", "wait", "--for=condition=Ready", "node", "--all", "--timeout=30s") == nil {
			return nil
		}
		select {
		case err := <-d.ended:
			d.ended <- err
			return fmt.Errorf("dhow server ended: %v; see %s", err, log)
		case <-ctx.Done():
			return fmt.Errorf("the node is not ready: %w; see %s", ctx.Err(), log)
		case <-again.C:
		}
	}
}

func (d *dhow) run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, d.program, append([]string{"--root", d.root}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("dhow %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// stop ends the server and removes all that it made.
func (d *dhow) stop() {
	_ = d.server.Process.Signal(syscall.SIGTERM)
	<-d.ended
	if err := errors.Join(d.run(context.Background(), "reset", "--yes"), os.RemoveAll(d.root)); err != nil {
		fmt.Fprintln(os.Stderr, "critest:", err)
	}
}

// runSuite runs the chosen tests; that some fail is no error of its own, since the report tells it.
func runSuite(ctx context.Context, o options, socket, report string) error {
	log, err := os.Create(filepath.Join(o.out, "log.txt"))
	if err != nil {
		return err
	}
	defer log.Close()
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := []string{
		"-runtime-endpoint=unix://" + socket, "-image-endpoint=unix://" + socket, "-test.timeout=0",
		"-ginkgo.no-color", "-ginkgo.json-report=" + report, "-ginkgo.timeout=" + o.timeout.String(),
	}
	if o.focus != "" {
		args = append(args, "-ginkgo.focus="+o.focus)
	}
	if o.skip != "" {
		args = append(args, "-ginkgo.skip="+o.skip)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.out, "critest"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.out, log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if info, statErr := os.Stat(report); statErr != nil || info.Size() == 0 {
		return fmt.Errorf("the suite wrote no report (%v); see %s", err, log.Name())
	}
	return nil
}
