package judge

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

// Config of a Dhow.
type Config struct {
	Program string // the binary
	Results string // the folder for its log
	// Registries is the text of registries.yaml; none if empty.
	Registries string
	// Keep leaves its data and log when it is stopped.
	Keep bool
}

// Dhow is a server that runs on a root of its own.
type Dhow struct {
	config Config
	root   string
	server *exec.Cmd
	ended  chan error
}

// Start returns when the node is ready, after its CRI and its pods' network.
func Start(ctx context.Context, c Config) (*Dhow, error) {
	root, err := os.MkdirTemp("", "dhow-judged-")
	if err != nil {
		return nil, err
	}
	d := &Dhow{config: c, root: root, ended: make(chan error, 1)}
	if err := d.configure(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.Results, "dhow.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.server = exec.Command(c.Program, "--root", root, "server")
	d.server.Stdout, d.server.Stderr = log, log
	if err := d.server.Start(); err != nil {
		return nil, err
	}
	go func() { d.ended <- d.server.Wait() }()
	if err := d.waitReady(ctx, log.Name()); err != nil {
		d.Stop()
		return nil, err
	}
	return d, nil
}

func (d *Dhow) configure() error {
	if d.config.Registries == "" {
		return nil
	}
	dir := filepath.Join(d.root, "etc/dhow")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "registries.yaml"), []byte(d.config.Registries), 0o600))
}

// Socket is of its CRI.
func (d *Dhow) Socket() string { return filepath.Join(d.root, "run/dhow/cri.sock") }

// Kubeconfig is its administrator's.
func (d *Dhow) Kubeconfig() string { return filepath.Join(d.root, "etc/dhow/kubeconfig") }

func (d *Dhow) waitReady(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for d.Run(ctx, "kubectl", "wait", "--for=condition=Ready", "node", "--all", "--timeout=30s") != nil {
		select {
		case err := <-d.ended:
			d.ended <- err
			return fmt.Errorf("dhow server ended: %v; see %s", err, log)
		case <-ctx.Done():
			return fmt.Errorf("the node is not ready: %w; see %s", ctx.Err(), log)
		case <-again.C:
		}
	}
	return nil
}

// MakeKubectl makes a program of dhow's kubectl, which uses nothing of the machine outside the root.
func (d *Dhow) MakeKubectl(path string) error {
	return os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\nexec '%s' --root '%s' kubectl \"$@\"\n", d.config.Program, d.root), 0o755)
}

// Run is a dhow command on its root.
func (d *Dhow) Run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, d.config.Program, append([]string{"--root", d.root}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("dhow %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Stop ends the server and removes all that it made.
func (d *Dhow) Stop() {
	_ = d.server.Process.Signal(syscall.SIGTERM)
	<-d.ended
	err := d.Run(context.Background(), "reset", "--yes")
	if d.config.Keep {
		fmt.Println("data kept in", d.root)
	} else {
		err = errors.Join(err, os.RemoveAll(d.root))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
	}
}
