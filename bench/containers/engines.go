package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// engine is a command line of docker's kind.
type engine struct {
	name string
	// line begins every command line; flags are what run needs on this machine.
	line, flags []string
	// remove begins the command line that removes containers that run.
	remove []string
	// supervisor tells the command lines of the processes that hold containers.
	supervisor func(cmdline string) bool
}

// runtime is an OCI runtime.
type runtime struct {
	name string
	line []string
}

const imageName = "bench:1"

// The image has a file of lines, for logs.
const lineBytes, lineCount = 100, 200_000

// prepare makes an image of busybox for each engine, and a bundle for the runtimes.
func (b *bench) prepare() error {
	archive, err := b.files()
	if err != nil {
		return err
	}
	root := filepath.Join(b.dir, "dhow")
	b.engines = []engine{{
		name: "dhow", line: []string{b.dhow, "--root", root}, flags: []string{"--network", "none"}, remove: []string{"rm", "-f"},
		supervisor: func(c string) bool { return strings.HasPrefix(c, "dhow-shim\x00"+root) },
	}}
	if podman, err := exec.LookPath("podman"); err == nil {
		b.engines = append(b.engines, b.podman(podman))
	}
	for _, e := range b.engines {
		if _, err := b.output(e.command("import", archive, imageName)...); err != nil {
			return err
		}
	}
	oci := filepath.Join(b.dir, "dhow-oci")
	if err := os.Symlink(b.dhow, oci); err != nil {
		return err
	}
	for _, name := range []string{oci, "crun", "runc"} {
		if path, err := exec.LookPath(name); err == nil {
			b.runtimes = append(b.runtimes, runtime{filepath.Base(name), []string{path, "--root", filepath.Join(b.dir, "state-"+filepath.Base(name))}})
		}
	}
	return b.bundle()
}

// podman is Debian's, with crun where that is installed. Where limits may not be raised, its own defaults, which are
// higher, cannot be set by any runtime.
func (b *bench) podman(path string) engine {
	var files syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	limit := strconv.FormatUint(files.Max, 10)
	line := []string{
		path, "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--storage-driver", "overlay",
		"--root", filepath.Join(b.dir, "podman"), "--runroot", filepath.Join(b.dir, "podman-run"), "--tmpdir", filepath.Join(b.dir, "podman-tmp"),
	}
	if crun, err := exec.LookPath("crun"); err == nil {
		line = append(line, "--runtime", crun)
	}
	return engine{
		name: "podman", line: line,
		flags:      []string{"--network", "none", "--ulimit", "nofile=" + limit + ":" + limit, "--ulimit", "nproc=1000:1000", "--log-driver", "k8s-file"},
		remove:     []string{"rm", "-f", "-t", "0"},
		supervisor: func(c string) bool { return strings.Contains(c, "conmon") && strings.Contains(c, b.dir) },
	}
}

func (e engine) command(args ...string) []string {
	return append(e.line[:len(e.line):len(e.line)], args...)
}

// start is the command line of run with the engine's flags.
func (e engine) start(args ...string) []string {
	return append(append(e.command("run"), e.flags...), args...)
}

func (e engine) removeAll(b *bench) error {
	ids, err := b.output(e.command("ps", "-aq")...)
	if err != nil || ids == "" {
		return err
	}
	_, err = b.output(append(e.command(e.remove...), strings.Fields(ids)...)...)
	return err
}

// files makes an archive of a root file system: Debian's busybox and its names.
func (b *bench) files() (string, error) {
	root := filepath.Join(b.dir, "files")
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return "", err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", fmt.Errorf("%w (apt-get install busybox-static)", err)
	}
	if _, err := b.output("cp", busybox, filepath.Join(root, "bin/busybox")); err != nil {
		return "", err
	}
	for _, name := range []string{"sh", "true", "sleep", "cat"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return "", err
		}
	}
	lines := strings.Repeat(strings.Repeat("x", lineBytes-1)+"\n", lineCount)
	if err := os.WriteFile(filepath.Join(root, "lines"), []byte(lines), 0o644); err != nil {
		return "", err
	}
	archive := filepath.Join(b.dir, "files.tar")
	_, err = b.output("tar", "-C", root, "-cf", archive, ".")
	return archive, err
}

// bundle makes the runtimes' bundle: dhow's default configuration on that root.
func (b *bench) bundle() error {
	if err := os.Rename(filepath.Join(b.dir, "files"), filepath.Join(b.dir, "rootfs")); err != nil {
		return err
	}
	_, err := b.output(append(b.runtimes[0].line, "spec", "--bundle", b.dir)...)
	return err
}
