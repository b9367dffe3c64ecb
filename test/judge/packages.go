package judge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Packages is a folder of downloaded Debian packages.
type Packages struct{ Dir string }

// Download fetches packages with all that they depend on, as if nothing were installed on this machine, once.
func (p Packages) Download(ctx context.Context, names ...string) error {
	if p.complete() {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(p.Dir, "partial"), 0o755); err != nil {
		return err
	}
	nothing := filepath.Join(p.Dir, "status")
	if err := os.WriteFile(nothing, nil, 0o644); err != nil {
		return err
	}
	args := append([]string{
		"-q", "-y", "--no-install-recommends", "--download-only", "-o", "Dir::State::status=" + nothing,
		"-o", "Dir::Cache::archives=" + p.Dir, "-o", "APT::Sandbox::User=root", "install",
	}, names...)
	if out, err := exec.CommandContext(ctx, "apt-get", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w (has apt-get update run?): %s", err, out[max(0, len(out)-2000):])
	}
	return os.WriteFile(p.mark(), nil, 0o644)
}

func (p Packages) mark() string { return filepath.Join(p.Dir, "complete") }

func (p Packages) complete() bool {
	_, err := os.Stat(p.mark())
	return err == nil
}

// files are those whose names match, by path.
func (p Packages) files(match func(name string) bool) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(p.Dir, "*.deb"))
	var chosen []string
	for _, path := range all {
		if match(filepath.Base(path)) {
			chosen = append(chosen, path)
		}
	}
	return chosen, err
}

// Unpack adds the files of the packages whose names match to a folder; links there that stand for folders (bin to
// usr/bin) stay.
func (p Packages) Unpack(ctx context.Context, dir string, match func(name string) bool) error {
	debs, err := p.files(match)
	if err != nil {
		return err
	}
	if len(debs) == 0 {
		return fmt.Errorf("no such package in %s", p.Dir)
	}
	for _, deb := range debs {
		const script = `dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"`
		if out, err := exec.CommandContext(ctx, "sh", "-ec", script, "unpack", deb, dir).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, out)
		}
	}
	return nil
}
