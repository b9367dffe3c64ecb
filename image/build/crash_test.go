package build

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// failer is a testing.TB for a program that is no test.
type failer struct{ testing.TB }

func (failer) Helper() {}

// buildAndDie is the part of a build that is killed in the middle of its RUN.
func buildAndDie(dir string) {
	r := newRigIn(failer{}, dir)
	r.die = true
	o := Options{Name: "Dockerfile", Dockerfile: []byte("FROM base\nCOPY a /a\nRUN true\n"), Context: r.context}
	_, _ = r.builder.Build(context.Background(), o)
	os.Exit(3) // it should not have come this far
}

func TestAKilledBuildLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.file("a", "a")
	before, err := r.store.List(t.Context())
	r.check(err)
	exe, err := os.Executable()
	r.check(err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+r.dir)
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the build was not killed: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "build/sessions/*")); len(left) != 1 {
		t.Fatalf("the killed build left sessions %v, want one", left)
	}
	r.build("FROM base\nCOPY a /a\nRUN true\n", Options{Tags: []string{"after"}})
	for _, pattern := range []string{"build/sessions/*", "run/*", "images/snapshots/*"} {
		if left, _ := filepath.Glob(filepath.Join(r.dir, pattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	after, err := r.store.List(t.Context())
	r.check(err)
	if len(after) != len(before)+1 {
		t.Errorf("%d images, want %d", len(after), len(before)+1)
	}
	damaged, err := r.store.Verify(t.Context())
	if err != nil || len(damaged) > 0 {
		t.Errorf("damaged: %v, %v", damaged, err)
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
