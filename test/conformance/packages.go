package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// debianPackages are what the images take from Debian; apt adds what these depend on.
var debianPackages = []string{
	"base-files", "bash", "bash-static", "bind9-dnsutils", "busybox-static", "ca-certificates", "coreutils", "curl", "dash",
	"hostname", "iperf", "iproute2", "libc-bin", "netcat-openbsd", "nginx",
}

// notInBase are packages that the common base image has no use for.
var notInBase = regexp.MustCompile(`^(busybox-static|bash-static|nginx|nginx-common|dpkg|tar|mawk|debconf|openssl|gcc-12-base|libicu-dev)_`)

// packages are downloaded Debian packages.
type packages struct{ dir string }

// download fetches the packages as if nothing were installed on this machine, so that all they need is there.
func (p packages) download(ctx context.Context) error {
	if p.complete() {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "partial"), 0o755); err != nil {
		return err
	}
	nothing := filepath.Join(p.dir, "status")
	if err := os.WriteFile(nothing, nil, 0o644); err != nil {
		return err
	}
	args := append([]string{
		"-q", "-y", "--no-install-recommends", "--download-only", "-o", "Dir::State::status=" + nothing,
		"-o", "Dir::Cache::archives=" + p.dir, "-o", "APT::Sandbox::User=root", "install",
	}, debianPackages...)
	if out, err := exec.CommandContext(ctx, "apt-get", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w (has apt-get update run?): %s", err, last(out, 2000))
	}
	return os.WriteFile(p.mark(), nil, 0o644)
}

func (p packages) mark() string { return filepath.Join(p.dir, "complete") }

func (p packages) complete() bool {
	_, err := os.Stat(p.mark())
	return err == nil
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

// files are those whose names match, by path.
func (p packages) files(match func(name string) bool) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(p.dir, "*.deb"))
	var chosen []string
	for _, path := range all {
		if match(filepath.Base(path)) {
			chosen = append(chosen, path)
		}
	}
	return chosen, err
}

// unpack adds the files of packages to a folder; links there that stand for folders (bin to usr/bin) stay.
func (p packages) unpack(ctx context.Context, dir string, match func(name string) bool) error {
	debs, err := p.files(match)
	if err != nil {
		return err
	}
	if len(debs) == 0 {
		return fmt.Errorf("no such package in %s", p.dir)
	}
	for _, deb := range debs {
		const script = `dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"`
		if out, err := exec.CommandContext(ctx, "sh", "-ec", script, "unpack", deb, dir).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, out)
		}
	}
	return nil
}
