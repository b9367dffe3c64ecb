package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image"
)

// crashes is how many builds are killed.
const crashes = 10

// buildCrashes is a root with a context, in which builds are killed or run out of something.
type buildCrashes struct {
	t             *testing.T
	root, context string
}

const crashingDockerfile = `FROM busybox AS first
RUN --mount=type=cache,target=/m echo first > /first; echo 1 >> /m/x
FROM busybox
COPY --from=first /first /first
ARG N
COPY data /data1
RUN --mount=type=bind,from=first,target=/m cat /m/first > /n; echo $N >> /n
RUN sleep 0.1; echo $N > /o
COPY data /data2
RUN --network=none echo $N > /p
`

func newBuildCrashes(t *testing.T, root string) *buildCrashes {
	t.Helper()
	b := &buildCrashes{t, root, t.TempDir()}
	check(t, os.WriteFile(filepath.Join(b.context, "Dockerfile"), []byte(crashingDockerfile), 0o600))
	check(t, os.WriteFile(filepath.Join(b.context, "data"), make([]byte, 4<<20), 0o600))
	out, err := b.dhow("load", "-i", busyboxArchive(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("load: %v: %s", err, out)
	}
	return b
}

func (b *buildCrashes) dhow(args ...string) *exec.Cmd {
	return exec.Command("dhow", append([]string{"--root", b.root}, args...)...)
}

func (b *buildCrashes) build(n string) *exec.Cmd {
	return b.dhow("build", "--progress", "plain", "--build-arg", "N="+n, b.context)
}

// succeeds builds, and wants the first stage from the cache.
func (b *buildCrashes) succeeds(what, n string) {
	b.t.Helper()
	out, err := b.build(n).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: the next build: %v\n%s", what, err, out)
	}
	if !strings.Contains(string(out), "CACHED") {
		b.t.Errorf("%s: the next build has taken nothing from the cache:\n%s", what, out)
	}
}

// sound fails unless nothing but images and the cache is there.
func (b *buildCrashes) sound(what string) {
	b.t.Helper()
	for _, pattern := range []string{
		"var/lib/dhow/build/sessions/*", "run/dhow/builds/*", "run/dhow/engine/networks/*.member.json",
		"var/lib/dhow/images/snapshots/*", "var/lib/dhow/images/tmp/*", "var/lib/dhow/images/leases/work-*",
	} {
		if left, _ := filepath.Glob(filepath.Join(b.root, pattern)); len(left) > 0 {
			b.t.Errorf("%s: left behind: %v", what, left)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(b.t, err)
	if strings.Contains(string(mounts), " "+b.root+"/") {
		b.t.Errorf("%s: left mounted:\n%s", what, mounts)
	}
	sum := sha256.Sum256([]byte(b.root))
	name := "dhow-" + hex.EncodeToString(sum[:4])
	for _, path := range groupsOf(b.t, name) {
		b.t.Errorf("%s: a group is left: %s", what, path)
	}
	store, err := image.New(image.Config{Dir: filepath.Join(b.root, "var/lib/dhow/images")})
	check(b.t, err)
	if damaged, err := store.Verify(context.Background()); err != nil || len(damaged) > 0 {
		b.t.Errorf("%s: damaged: %v, %v", what, damaged, err)
	}
}

// groupsOf are the control groups of pods and containers of a root.
func groupsOf(t *testing.T, name string) (all []string) {
	t.Helper()
	hierarchies, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	check(t, err)
	for _, top := range append(hierarchies, filepath.Join("/sys/fs/cgroup", name)) {
		check(t, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "pod") {
				all = append(all, path)
			}
			return nil // it may have gone meanwhile
		}))
	}
	return all
}

// orphans fails if a layer, a bridge or a rule stays when cache and images are gone.
func (b *buildCrashes) orphans() {
	b.t.Helper()
	for _, args := range [][]string{{"builder", "prune", "-f"}, {"image", "prune", "-a", "-f"}} {
		if out, err := b.dhow(args...).CombinedOutput(); err != nil {
			b.t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	left, err := filepath.Glob(filepath.Join(b.root, "var/lib/dhow/images/layers/*"))
	check(b.t, err)
	if len(left) > 1 { // that of images without any
		b.t.Errorf("layers that nothing needs: %v", left)
	}
	links, err := exec.Command("ip", "-o", "link", "show", "type", "bridge").CombinedOutput()
	if err != nil || strings.TrimSpace(string(links)) != "" {
		b.t.Errorf("bridges are left: %s, %v", links, err)
	}
}

// killed starts a build and kills it after a time, and tells whether it was still at work.
func (b *buildCrashes) killed(n string, after time.Duration) bool {
	b.t.Helper()
	cmd := b.build(n)
	check(b.t, cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // judged by how it ended
	return !cmd.ProcessState.Exited()
}

func TestBuildsThatAreKilledLeaveNothing(t *testing.T) {
	onItsOwnMachine(t, func(root string) {
		b := newBuildCrashes(t, root)
		begun := time.Now()
		if out, err := b.build("0").CombinedOutput(); err != nil {
			t.Fatalf("the first build: %v\n%s", err, out)
		}
		took := time.Since(begun)
		hits, builds := 0, 0
		for ; builds < crashes || hits < crashes/3 && builds < 5*crashes; builds++ {
			n, after := strconv.Itoa(builds+1), took/20+rand.N(took)
			if b.killed(n, after) {
				hits++
			} else {
				took -= took / 5 // the first one had no cache, and perhaps a busier machine
			}
			what := fmt.Sprintf("killed after %v", after)
			b.succeeds(what, n)
			b.sound(what)
		}
		if hits < crashes/3 {
			t.Errorf("only %d of %d builds were killed: the test proves little", hits, builds)
		}
		b.orphans()
	})
}

// lacksProcesses are what the kernel's word for it, and Go's own threads say.
var lacksProcesses = regexp.MustCompile(`(?i)resource temporarily unavailable|failed to create new OS thread`)

func TestABuildWithoutProcessesToSpareSaysSoAndLeavesNothing(t *testing.T) {
	onItsOwnMachine(t, func(root string) {
		b := newBuildCrashes(t, root)
		if out, err := b.build("0").CombinedOutput(); err != nil {
			t.Fatalf("the first build: %v\n%s", err, out)
		}
		group := newPIDs(t)
		failures := 0
		for _, most := range []int{4, 7, 8, 9, 10, 11, 12} {
			check(t, os.WriteFile(filepath.Join(group, "pids.max"), []byte(strconv.Itoa(most)), 0))
			n := strconv.Itoa(most)
			cmd := exec.Command("sh", "-c", "echo $$ > "+group+"/cgroup.procs && exec dhow --root "+root+" build --build-arg N="+n+" "+b.context)
			out, err := cmd.CombinedOutput()
			what := fmt.Sprintf("with %d processes", most)
			if err != nil {
				failures++
				if !lacksProcesses.Match(out) {
					t.Errorf("%s a build says: %v\n%s", what, err, out)
				}
			}
			b.succeeds(what, n)
			b.sound(what)
		}
		if failures == 0 {
			t.Error("no build lacked processes: the test proves nothing")
		}
		b.orphans()
	})
}

// newPIDs makes a control group for a limit of processes.
func newPIDs(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("/sys/fs/cgroup/pids", fmt.Sprintf("dhow-test-%d", os.Getpid()))
	if _, err := os.Stat(filepath.Dir(dir)); err != nil {
		dir = filepath.Join("/sys/fs/cgroup", filepath.Base(dir))
	}
	check(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { check(t, os.Remove(dir)) })
	return dir
}

func TestABuildOnAFullDiskSaysSoAndLeavesNothing(t *testing.T) {
	onItsOwnMachine(t, func(root string) {
		check(t, unix.Mount("tmpfs", root, "tmpfs", 0, "size=32m"))
		defer func() { check(t, unix.Unmount(root, unix.MNT_DETACH)) }()
		b := newBuildCrashes(t, root)
		check(t, os.Truncate(filepath.Join(b.context, "data"), 64<<20))
		out, err := b.build("1").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "no space left on device") || !strings.Contains(string(out), "Dockerfile:6:1:") {
			t.Errorf("a build of more than there is space for: %v\n%s", err, out)
		}
		check(t, os.Truncate(filepath.Join(b.context, "data"), 1<<20))
		b.succeeds("after a full disk", "1")
		sum := sha256.Sum256([]byte(b.root))
		if left := groupsOf(t, "dhow-"+hex.EncodeToString(sum[:4])); len(left) > 0 {
			t.Errorf("groups are left: %v", left)
		}
		if left, _ := filepath.Glob(filepath.Join(root, "var/lib/dhow/build/sessions/*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		b.orphans()
	})
}
