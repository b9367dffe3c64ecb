package container

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/internal/crilog"
	"dhow/internal/logtest"
)

func TestRotationLosesNoLineAndIsFollowed(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh(count))
	path := filepath.Join(r.logs, "c.log")
	var followed logtest.Buffer
	options := crilog.All()
	options.Follow = true
	options.Alive = func() bool {
		s, err := r.engine.ContainerStatus(context.Background(), id)
		return err == nil && s.State == cri.ContainerState_CONTAINER_RUNNING
	}
	done := make(chan error, 1)
	go func() { done <- crilog.Read(context.Background(), path, options, &followed, nil) }()
	const rotations = 8
	for i := range rotations {
		r.eventually("the follower has come to this file", func() bool {
			first, _, ended := strings.Cut(r.output(), "\n")
			return ended && strings.Contains(followed.String(), first+"\n")
		})
		check(t, os.Rename(path, fmt.Sprintf("%s.%d", path, i)))
		check(t, r.engine.ReopenContainerLog(context.Background(), id))
	}
	check(t, r.engine.StopContainer(context.Background(), id, time.Minute))
	check(t, <-done)
	numbered(t, followed.String())
	var all bytes.Buffer
	for i := range rotations {
		check(t, crilog.Read(context.Background(), fmt.Sprintf("%s.%d", path, i), crilog.All(), &all, nil))
	}
	check(t, crilog.Read(context.Background(), path, crilog.All(), &all, nil))
	numbered(t, all.String())
}

func TestARotationThatACrashCutShortIsEnded(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh(count))
	path := filepath.Join(r.logs, "c.log")
	r.halt()
	check(t, os.Rename(path, path+".0"))
	r.start()
	r.eventually("the log is there again", func() bool { info, err := os.Stat(path); return err == nil && info.Size() > 0 })
	check(t, r.engine.StopContainer(context.Background(), id, time.Minute))
	var all bytes.Buffer
	check(t, crilog.Read(context.Background(), path+".0", crilog.All(), &all, nil))
	check(t, crilog.Read(context.Background(), path, crilog.All(), &all, nil))
	numbered(t, all.String())
}

func TestLongLinesAreCutIntoMarkedParts(t *testing.T) {
	r := newRig(t)
	r.result(sh("head -c 40000 /dev/zero | tr '\\0' x; echo; head -c 16384 /dev/zero | tr '\\0' y; echo; printf 'no end'"))
	data, err := os.ReadFile(filepath.Join(r.logs, "c.log"))
	check(t, err)
	var got []string
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		got = append(got, fmt.Sprintf("%s %s %d", f[1], f[2], len(f[3])))
	}
	want := "stdout P 16384,stdout P 16384,stdout F 7232,stdout F 16384,stdout P 6"
	if strings.Join(got, ",") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestBinaryOutputComesThroughUnchanged(t *testing.T) {
	r := newRig(t)
	sample := make([]byte, 100<<10)
	for i := range sample {
		sample[i] = byte(i * 7 >> (i % 5))
	}
	sample[len(sample)-1] = '\n'
	check(t, os.WriteFile(filepath.Join(r.image(), "sample"), sample, 0o644))
	r.waitExit(r.launch(command("cat", "/sample")))
	var out bytes.Buffer
	check(t, crilog.Read(context.Background(), filepath.Join(r.logs, "c.log"), crilog.All(), &out, nil))
	if !bytes.Equal(out.Bytes(), sample) {
		t.Errorf("%d bytes came of %d, or they differ", out.Len(), len(sample))
	}
}

// privateMemory is what a process has for itself alone, in kilobytes.
func privateMemory(t testing.TB, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	check(t, err)
	total := 0
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); strings.HasPrefix(f[0], "Private_") {
			n, err := strconv.Atoi(f[1])
			check(t, err)
			total += n
		}
	}
	return total
}

func TestAFloodOfOutputDoesNotGrowTheShim(t *testing.T) {
	r := newRig(t)
	r.runPod()
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	before := privateMemory(t, s.ShimPID)
	id := r.launch(sh("dd if=/dev/zero bs=1M count=32; yes | head -c 1000000"))
	check(t, os.Remove(filepath.Join(r.logs, "c.log"))) // the shim goes on writing to what nobody sees
	most := before
	r.eventually("the flood has ended", func() bool {
		most = max(most, privateMemory(t, s.ShimPID))
		return r.status(id).State == cri.ContainerState_CONTAINER_EXITED
	})
	grown := most - before
	t.Logf("the shim grew by %d kB, from %d", grown, before)
	if grown > 4<<10 {
		t.Errorf("the shim grew by %d kB, from %d", grown, before)
	}
}

func TestPortsOfAPodAreForwarded(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("nc -l -p 8080 -e cat"))
	r.eventually("it listens", func() bool { return strings.Contains(r.exec(id, "cat /proc/net/tcp*"), ":1F90 ") })
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- r.engine.PortForward(context.Background(), r.id, 8080, theirs) }()
	const text = "over and back"
	_, err := ours.Write([]byte(text))
	check(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(ours, got)
	check(t, err)
	if string(got) != text {
		t.Errorf("got %q", got)
	}
	check(t, ours.Close())
	check(t, <-done)
	err = r.engine.PortForward(context.Background(), r.id, 9999, theirs)
	if err == nil || !strings.Contains(err.Error(), "9999") {
		t.Errorf("a port where nobody listens: %v", err)
	}
}
