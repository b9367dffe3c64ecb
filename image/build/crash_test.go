package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dhow/image"
	"dhow/image/build/show"
	"dhow/internal/rootfs"
)

// failer is a testing.TB for a program that is no test.
type failer struct{ testing.TB }

func (failer) Helper() {}

func (failer) Context() context.Context { return context.Background() }

// faulty is an image store that asks before and after whatever changes it.
type faulty struct {
	Images
	at func(point string) error
}

func (f faulty) around(point string, do func() error) error {
	if err := f.at("before " + point); err != nil {
		return err
	}
	return errors.Join(do(), f.at("after "+point))
}

func (f faulty) Lease(ctx context.Context, name string) (lease *image.Lease, err error) {
	err = f.around("lease "+name, func() error {
		lease, err = f.Images.Lease(ctx, name)
		return err
	})
	return lease, err
}

func (f faulty) CommitLayer(ctx context.Context, lease *image.Lease, key string, at time.Time) (layer image.Layer, err error) {
	err = f.around("commit", func() error {
		layer, err = f.Images.CommitLayer(ctx, lease, key, at)
		return err
	})
	return layer, err
}

func (f faulty) SnapshotOf(ctx context.Context, key string, layers []string, config ocispec.ImageConfig) (snap *rootfs.Snapshot, err error) {
	err = f.around("snapshot", func() error {
		snap, err = f.Images.SnapshotOf(ctx, key, layers, config)
		return err
	})
	return snap, err
}

func (f faulty) RemoveSnapshot(ctx context.Context, key string) error {
	return f.around("remove snapshot", func() error { return f.Images.RemoveSnapshot(ctx, key) })
}

func (f faulty) Put(ctx context.Context, spec image.Spec, names ...string) (id string, err error) {
	err = f.around("put", func() error {
		id, err = f.Images.Put(ctx, spec, names...)
		return err
	})
	return id, err
}

// crashing is built by the tests of this file. Its last two steps are new for each value of N.
const crashing = "FROM base AS first\nCOPY a /a\nRUN echo 1 > /1\nFROM base\nCOPY --from=first /1 /1\nARG N\n" +
	"RUN --mount=type=bind,from=first,target=/m --mount=type=secret,id=s echo $N > /n\nCOPY <<EOF /last\n$N\nEOF\n"

func (r *rig) crashing(n string) (Result, error) {
	return r.try(crashing, Options{Args: map[string]*string{"N": &n}, Tags: []string{"crashing"}, Secrets: map[string][]byte{"s": []byte("s")}})
}

// buildAndDie is a build that is killed at the point whose number the second word of work is.
func buildAndDie(work string) {
	dir, number, _ := strings.Cut(work, "\n")
	most, _ := strconv.Atoi(number)
	left := atomic.Int64{} // stages are built beside one another
	left.Store(int64(most))
	die := func(string) error {
		if left.Add(-1) == 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		return nil
	}
	r := newRigIn(failer{}, dir)
	r.before = func() { _ = die("run") }
	r.builder.config.Images = faulty{r.store, die}
	o := "dies " + number
	if _, err := r.crashing(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	os.Exit(3) // it has come to its end
}

// killedAt runs such a build, and tells whether it was killed.
func (r *rig) killedAt(number int) bool {
	r.t.Helper()
	exe, err := os.Executable()
	r.check(err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+r.dir+"\n"+strconv.Itoa(number))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 && exit.ExitCode() != 3 {
		r.t.Fatalf("the build neither was killed nor came to its end: %v: %s", err, out)
	}
	return exit.ExitCode() == -1
}

// sound fails unless nothing is left of builds but images and a cache, and these are whole.
func (r *rig) sound(what string) {
	r.t.Helper()
	again, err := image.New(image.Config{Dir: filepath.Join(r.dir, "images")})
	r.check(err)
	for _, pattern := range []string{"build/sessions/*", "run/*", "images/snapshots/*", "images/tmp/*", "images/leases/work-*", "build/cache/.tmp-*"} {
		if left, _ := filepath.Glob(filepath.Join(r.dir, pattern)); len(left) > 0 {
			r.t.Errorf("%s: left behind: %v", what, left)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	r.check(err)
	if strings.Contains(string(mounts), r.dir+"/") {
		r.t.Errorf("%s: left mounted:\n%s", what, mounts)
	}
	if damaged, err := again.Verify(r.t.Context()); err != nil || len(damaged) > 0 {
		r.t.Errorf("%s: damaged: %v, %v", what, damaged, err)
	}
}

// orphans fails if a layer stays when cache and images are gone.
func (r *rig) orphans() {
	r.t.Helper()
	_, err := r.builder.Prune(r.t.Context(), PruneOptions{})
	r.check(err)
	_, err = r.store.Prune(r.t.Context(), image.PruneOptions{All: true})
	r.check(err)
	left, err := filepath.Glob(filepath.Join(r.dir, "images/layers/*"))
	r.check(err)
	if len(left) > 1 { // that of images without any
		r.t.Errorf("layers that nothing needs: %v", left)
	}
}

func TestABuildKilledAtAnyStepLeavesNothingAndTheNextOneUsesWhatItHadDone(t *testing.T) {
	r := newRig(t)
	r.file("a", "a")
	_, err := r.crashing("0")
	r.check(err)
	whole := len(r.ran())
	number := 1
	for ; r.killedAt(number); number++ {
		what := fmt.Sprintf("killed at point %d", number)
		if _, err := r.crashing("dies " + strconv.Itoa(number)); err != nil {
			t.Fatalf("%s: the next build: %v", what, err)
		}
		if ran := r.ran(); len(ran) >= whole {
			t.Errorf("%s: the next build has run %q", what, ran)
		}
		r.sound(what)
	}
	if number < 20 {
		t.Errorf("a build has only %d points: the test proves little", number)
	}
	r.orphans()
}

func TestAnErrorAtAnyStepIsToldAndLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.file("a", "a")
	injected := errors.New("injected")
	hits := 0
	for number := 1; ; number++ {
		left := atomic.Int64{}
		left.Store(int64(number))
		r.builder.config.Images = faulty{r.store, func(string) error {
			if left.Add(-1) == 0 {
				return injected
			}
			return nil
		}}
		_, err := r.crashing(strconv.Itoa(number))
		r.builder.config.Images = r.store
		if left.Load() > 0 {
			break // it has fewer points
		}
		what := fmt.Sprintf("error at point %d", number)
		if err != nil {
			hits++
			if !errors.Is(err, injected) {
				t.Errorf("%s is told as: %v", what, err)
			}
		}
		if _, err := r.crashing(strconv.Itoa(number)); err != nil {
			t.Fatalf("%s: the next build: %v", what, err)
		}
		r.sound(what)
	}
	if hits < 10 {
		t.Errorf("only %d errors ended a build: the test proves little", hits)
	}
	r.orphans()
}

func TestAFullDiskIsToldAndTheNextBuildSucceeds(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	r := newRigIn(t, dir)
	r.makeBase()
	r.file("big", "")
	r.check(os.Truncate(filepath.Join(r.context, "big"), 40<<20)) // it takes no space itself
	_, err := r.try("FROM base\nCOPY big /big\n", Options{})
	if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "Dockerfile:2:") {
		t.Errorf("COPY of more than there is space for: %v", err)
	}
	var failed *CommandError
	if _, err := r.try("FROM base\nRUN yes | cat > /big\n", Options{Display: show.New(io.Discard, show.Plain, nil)}); !errors.As(err, &failed) || !strings.Contains(failed.Tail, "No space left on device") {
		t.Errorf("RUN that fills the disk: %v: %q", err, failed.Tail)
	}
	r.sound("after a full disk")
	deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond) // the kernel ends the command's mounts later
	defer tick.Stop()
	for {
		_, err := r.try("FROM base\nRUN echo 1 > /x\n", Options{})
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("a build after a full disk: %v", err)
		}
	}
}

func TestPruneLeavesNothingButImages(t *testing.T) {
	r := newRig(t)
	r.build("FROM base\nRUN --mount=type=cache,target=/m echo 1 > /m/x; echo 1 > /x\n", Options{})
	_, err := r.builder.Prune(t.Context(), PruneOptions{})
	r.check(err)
	for _, pattern := range []string{"build/cache/*.json", "build/mounts/*"} {
		left, _ := filepath.Glob(filepath.Join(r.dir, pattern))
		for _, path := range left {
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && filepath.Ext(path) != ".use" {
				t.Errorf("left behind: %s", path)
			}
		}
	}
	r.ran()
	r.build("FROM base\nRUN --mount=type=cache,target=/m echo 1 > /m/x; echo 1 > /x\n", Options{})
	if got := r.ran(); len(got) != 1 {
		t.Errorf("after prune %d commands ran, want 1", len(got))
	}
}
