package oci_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// BenchmarkRuntimes has runtimes run /bin/true of one bundle in turns, so that a busy machine is as busy for all of them:
// `run`, and `create`, `start`, `delete`. It reports the medians and the best in milliseconds. DHOW_OCI is the program that is
// dhow-oci; if not set, what `make build` has built.
func BenchmarkRuntimes(b *testing.B) {
	dhow := os.Getenv("DHOW_OCI")
	if dhow == "" {
		dhow, _ = filepath.Abs("../../bin/dhow-oci")
	}
	bundle := newWorld(b, func(s *specs.Spec) { s.Version = "1.0.2" }, "/bin/true").bundle // crun 1.8 knows none after 1.0
	runtimes := map[string]string{"dhow-oci": dhow, "crun": "crun", "runc": "runc"}
	for name, path := range runtimes {
		if _, err := exec.LookPath(path); err != nil {
			b.Fatalf("%s: %v; make build makes dhow-oci with its link, and Debian has the others", name, err)
		}
	}
	for _, way := range []struct {
		name  string
		steps [][]string
	}{
		{"run", [][]string{{"run", "--bundle", bundle}}},
		{"life", [][]string{{"create", "--bundle", bundle}, {"start"}, {"delete", "--force"}}},
	} {
		b.Run(way.name, func(b *testing.B) {
			hideUnified(b)
			took := map[string][]time.Duration{}
			n := 0
			for b.Loop() {
				for name, path := range runtimes {
					n++
					took[name] = append(took[name], steps(b, path, fmt.Sprintf("dhow-bench-%d-%d", os.Getpid(), n), way.steps))
				}
			}
			for name, all := range took {
				slices.Sort(all)
				b.ReportMetric(milliseconds(all[len(all)/2]), name+"-ms")
				b.ReportMetric(milliseconds(all[0]), name+"-best-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// steps is the time that they take together.
func steps(b *testing.B, program, id string, all [][]string) time.Duration {
	begin := time.Now()
	for _, args := range all {
		cmd := exec.Command(program, append(args[:len(args):len(args)], id)...) // no output, which the container would hold open
		if err := cmd.Run(); err != nil {
			b.Fatalf("%s %s: %v", program, args[0], err)
		}
	}
	return time.Since(begin)
}

// hideUnified spares crun a machine that has version 2 of cgroups beside version 1, which it refuses. What this thread
// starts sees version 1 only; the thread ends with the goroutine.
func hideUnified(b *testing.B) {
	const unified = "/sys/fs/cgroup/unified"
	if _, err := os.Stat(unified); err != nil {
		return
	}
	runtime.LockOSThread()
	for _, err := range []error{
		unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Unmount(unified, unix.MNT_DETACH),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
}
