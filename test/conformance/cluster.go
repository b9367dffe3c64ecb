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
const insideMark = "DHOW_CONFORMANCE_INSIDE"

// runInside runs this program again, in network and mount namespaces of its own.
func runInside(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideMark+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		os.Exit(exit.ExitCode()) // it has said why
	} else if err != nil {
		return err
	}
	return nil
}

// links are the only ones that the cluster sees: loopback, and a pair whose near end is the node's.
var links = []string{
	"link set lo up",
	"link add eth0 type veth peer name far",
	"address add 192.0.2.10/24 dev eth0",
	"link set eth0 up",
	"link set far up",
	"route add default via 192.0.2.1",
}

// cluster is a dhow that runs.
type cluster struct {
	dhow, root string
	server     *exec.Cmd
	ended      chan error
	keep       bool
}

// startCluster returns when the node is ready.
func startCluster(ctx context.Context, o options, results string) (*cluster, error) {
	for _, link := range links {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(link)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %s: %w: %s (is iproute2 installed?)", link, err, out)
		}
	}
	root, err := os.MkdirTemp("", "dhow-conformance-")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(results, "dhow.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &cluster{dhow: o.dhow, root: root, ended: make(chan error, 1), keep: o.keep}
	c.server = exec.Command(o.dhow, "--root", root, "server")
	c.server.Stdout, c.server.Stderr = log, log
	if err := c.server.Start(); err != nil {
		return nil, err
	}
	go func() { c.ended <- c.server.Wait() }()
	if err := c.waitReady(ctx, log.Name()); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) waitReady(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for again := time.NewTicker(200 * time.Millisecond); ; {
		if c.run(ctx, "kubectl", "wait", "--for=condition=Ready", "node", "--all", "--timeout=30s") == nil {
			return nil
		}
		select {
		case err := <-c.ended:
			c.ended <- err
			return fmt.Errorf("dhow server ended: %v; see %s", err, log)
		case <-ctx.Done():
			return fmt.Errorf("the node is not ready: %w; see %s", ctx.Err(), log)
		case <-again.C:
		}
	}
}

// run is a dhow command on the cluster.
func (c *cluster) run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, c.dhow, append([]string{"--root", c.root}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("dhow %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// load takes in the test images.
func (c *cluster) load(ctx context.Context, dir string) error {
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return err
	}
	for _, a := range archives {
		if err := c.run(ctx, "load", "-i", a); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.root, "etc/dhow/kubeconfig") }

// stop ends the server and removes all that it made.
func (c *cluster) stop() {
	_ = c.server.Process.Signal(syscall.SIGTERM)
	<-c.ended
	if err := c.run(context.Background(), "reset", "--yes"); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if c.keep {
		fmt.Println("data kept in", c.root)
		return
	}
	if err := os.RemoveAll(c.root); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
}
