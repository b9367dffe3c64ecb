package build

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dhow/image"
	"dhow/image/build/dockerfile"
	"dhow/image/build/rooted"
)

// crashEnv makes this program a build that is killed: see buildAndDie.
const crashEnv = "DHOW_TEST_BUILD"

func TestMain(m *testing.M) {
	runtime.LockOSThread() // the first thread never ends, so it may own a mount namespace
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		panic(err)
	}
	if dir := os.Getenv(crashEnv); dir != "" {
		buildAndDie(dir)
	}
	os.Exit(m.Run())
}

// chrootRunner runs commands in their roots without any isolation: these tests are about builds, not containers.
type chrootRunner struct {
	dir  string
	runs *[]string
	mu   *sync.Mutex
	// before each command, if not nil.
	before func()
}

func (r chrootRunner) Run(ctx context.Context, c Command) (int, error) {
	r.mu.Lock()
	*r.runs = append(*r.runs, strings.Join(c.Args, " "))
	r.mu.Unlock()
	if r.before != nil {
		r.before()
	}
	code := 0
	var failed error
	done := make(chan struct{})
	go func() { // in a mount namespace that ends with its thread
		defer close(done)
		runtime.LockOSThread()
		code, failed = r.run(ctx, c)
	}()
	<-done
	return code, failed
}

func (r chrootRunner) run(ctx context.Context, c Command) (int, error) {
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		return 0, err
	}
	root, err := os.MkdirTemp(r.dir, "root-")
	if err != nil {
		return 0, err
	}
	tree, err := rooted.Overlay(c.Root.Lower, c.Root.Upper, c.Root.Work)
	if err != nil {
		return 0, err
	}
	defer tree.Close()
	if err := tree.Attach(root); err != nil {
		return 0, err
	}
	for _, m := range c.Mounts {
		if err := unix.Mount(m.Source, filepath.Join(root, m.Target), "", unix.MS_BIND, ""); err != nil {
			return 0, err
		}
	}
	for _, m := range c.Tmpfs {
		if err := unix.Mount("tmpfs", filepath.Join(root, m.Target), "tmpfs", 0, ""); err != nil {
			return 0, err
		}
	}
	path := c.Args[0]
	cmd := &exec.Cmd{Path: path, Args: c.Args, Env: c.Env, Dir: c.Dir, Stdout: c.Stdout, Stderr: c.Stderr, SysProcAttr: &syscall.SysProcAttr{Chroot: root}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func (r chrootRunner) Close() error { return os.RemoveAll(r.dir) }

func (r chrootRunner) Gateway(string) (netip.Addr, error) {
	return netip.MustParseAddr("192.0.2.1"), nil
}

// rig is a builder with a base image "base" of busybox.
type rig struct {
	t       testing.TB
	dir     string
	store   *image.Store
	builder *Builder
	context string
	mu      sync.Mutex
	runs    []string
	before  func() // see chrootRunner
}

func newRigIn(t testing.TB, dir string) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, context: filepath.Join(dir, "context")}
	var err error
	r.store, err = image.New(image.Config{Dir: filepath.Join(dir, "images")})
	r.check(err)
	r.builder, err = New(Config{
		Dir: filepath.Join(dir, "build"), RunDir: filepath.Join(dir, "run"), Images: r.store,
		NewRunner: func(dir string) (Runner, error) { return chrootRunner{dir, &r.runs, &r.mu, r.before}, nil },
	})
	r.check(err)
	r.check(os.MkdirAll(r.context, 0o755))
	return r
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := newRigIn(t, t.TempDir())
	r.makeBase()
	return r
}

func (r *rig) makeBase() {
	r.t.Helper()
	path, err := exec.LookPath("busybox")
	r.check(err)
	data, err := os.ReadFile(path)
	r.check(err)
	r.check(os.WriteFile(filepath.Join(r.context, "busybox"), data, 0o755))
	r.build("FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n"+
		"COPY <<EOF /etc/passwd\nroot:x:0:0::/root:/bin/sh\nworker:x:1000:1001::/:/bin/sh\nEOF\nCOPY <<EOF /etc/group\nworkers:x:1001:\nEOF\n", Options{Tags: []string{"base"}})
	r.check(os.Remove(filepath.Join(r.context, "busybox")))
	r.runs = nil
}

func (r *rig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// file puts a file into the context.
func (r *rig) file(name, text string) {
	r.t.Helper()
	name = filepath.Join(r.context, name)
	r.check(os.MkdirAll(filepath.Dir(name), 0o755))
	r.check(os.WriteFile(name, []byte(text), 0o644))
}

func (r *rig) try(text string, o Options) (Result, error) {
	o.Name, o.Dockerfile, o.Context = "Dockerfile", []byte(text), r.context
	return r.builder.Build(r.t.Context(), o)
}

func (r *rig) build(text string, o Options) *image.Details {
	r.t.Helper()
	done, err := r.try(text, o)
	if err != nil {
		var place *dockerfile.Error
		var failed *CommandError
		if errors.As(err, &place) {
			r.t.Log(place.Excerpt())
		}
		if errors.As(err, &failed) {
			r.t.Log(failed.Tail)
		}
		r.t.Fatal(err)
	}
	d, err := r.store.Inspect(r.t.Context(), done.ID)
	r.check(err)
	return d
}

// ran are the commands since the last call.
func (r *rig) ran() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.runs
	r.runs = nil
	return all
}

// TestEachInstruction: RUN judges what came before it in the same Dockerfile.
func TestEachInstruction(t *testing.T) {
	r := newRig(t)
	r.file("a.txt", "a\n")
	r.file("b.txt", "b\n")
	r.file("dir/sub/c.txt", "c\n")
	r.check(os.Symlink("a.txt", filepath.Join(r.context, "link")))
	for name, text := range map[string]string{
		"copy to a file":                 "COPY a.txt /x/y\nRUN grep a /x/y",
		"copy into a directory":          "COPY a.txt b.txt /x/\nRUN grep b /x/b.txt",
		"copy a directory's contents":    "COPY dir /x\nRUN grep c /x/sub/c.txt && ! test -e /x/dir",
		"wildcards":                      "COPY *.txt /x/\nRUN test -f /x/a.txt && test -f /x/b.txt && ! test -e /x/sub",
		"--parents":                      "COPY --parents dir/sub/c.txt /x/\nRUN grep c /x/dir/sub/c.txt",
		"--exclude":                      "COPY --exclude=**/c.txt dir /x/\nRUN ! test -e /x/sub/c.txt",
		"--chown by name":                "COPY --chown=worker:workers a.txt /x\nRUN test \"$(stat -c %u:%g /x)\" = 1000:1001",
		"--chown by number":              "COPY --chown=7 a.txt /x\nRUN test \"$(stat -c %u:%g /x)\" = 7:7",
		"--chmod":                        "COPY --chmod=0640 a.txt /x\nRUN test \"$(stat -c %a /x)\" = 640",
		"--chmod by symbols":             "COPY --chmod=u=rwx,go=rx a.txt /x\nRUN test \"$(stat -c %a /x)\" = 755",
		"links are copied as links":      "COPY . /x/\nRUN test -L /x/link",
		"a named link is followed":       "COPY link /x\nRUN test ! -L /x && grep a /x",
		"here-documents":                 "COPY <<one <<two /x/\n1\none\n2\ntwo\nRUN grep 1 /x/one && grep 2 /x/two",
		"variables in here-documents":    "ARG V=v\nCOPY <<one <<\"two\" /x/\n$V\none\n$V\ntwo\nRUN grep v /x/one && grep V /x/two",
		"RUN of a here-document":         "RUN <<EOF\nset -e\necho 1 > /x\nEOF\nRUN grep 1 /x",
		"a script with an interpreter":   "RUN <<EOF\n#!/bin/busybox ash\necho 1 > /x\nEOF\nRUN grep 1 /x",
		"ENV wins over ARG":              "ARG V=a\nENV V=b\nRUN test $V = b",
		"ARG in RUN":                     "ARG V=a\nRUN test $V = a",
		"expansion":                      "ARG V\nENV W=${V:-x}${V:+y}\nRUN test $W = x",
		"WORKDIR":                        "WORKDIR /x\nWORKDIR y\nRUN test \"$(pwd)\" = /x/y",
		"SHELL":                          "SHELL [\"/bin/busybox\", \"env\", \"S=1\", \"sh\", \"-c\"]\nRUN test $S = 1",
		"COPY follows links of the root": "RUN mkdir /real && ln -s /real /l\nCOPY a.txt /l/\nRUN grep a /real/a.txt",
		"tmpfs":                          "RUN --mount=type=tmpfs,target=/t touch /t/x\nRUN ! test -e /t/x",
		"bind of the context":            "RUN --mount=type=bind,source=dir,target=/m grep c /m/sub/c.txt\nRUN ! test -e /m/sub",
		"bind of an image":               "RUN --mount=type=bind,from=base,source=/etc,target=/m grep worker /m/passwd",
		"a cache stays":                  "RUN --mount=type=cache,target=/m echo 1 >> /m/x\nRUN --mount=type=cache,target=/m grep 1 /m/x",
		"nothing of mounts stays":        "RUN --mount=type=cache,target=/m/n true\nRUN ! test -e /m",
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			r.build("FROM base\n"+text+"\n", Options{})
		})
	}
}
