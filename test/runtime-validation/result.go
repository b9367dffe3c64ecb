package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"judge"
)

// result is what a program has printed.
type result struct {
	output            string
	ok, notOK, passed int // passed over: "ok … # SKIP"
	told              int // errors in diagnostics that belong to no point: some programs print nothing else
	err               error
}

// verdict is passed where nothing was found wrong. The programs for hooks and for wrong values print no points at all when
// they are content, and an error when they are not.
func (r result) verdict() string {
	if r.notOK > 0 || r.err != nil || r.told > 0 && r.ok == 0 {
		return judge.Failed
	}
	return judge.Passed
}

func (r result) String() string {
	text := fmt.Sprintf("%-8s %d ok, %d not ok, %d without a question", r.verdict(), r.ok, r.notOK, r.passed)
	if r.told > 0 && r.ok == 0 {
		text += fmt.Sprintf(", %d errors", r.told)
	}
	if r.err != nil {
		text += fmt.Sprintf(" (%v)", r.err)
	}
	return text
}

// run runs a program and removes the containers that it leaves.
func run(dir, name, runtime string, timeout time.Duration) result {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	defer clean(runtime, containers(runtime))
	cmd := command(ctx, runtime, filepath.Join(dir, "validation", name))
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), "RUNTIME="+runtime, "TMPDIR="+dir), &out, &out
	cmd.WaitDelay = 5 * time.Second
	r := result{err: cmd.Run()}
	r.output = out.String()
	r.count()
	return r
}

// command is a program that a runtime runs under, in a mount namespace of its own: without one for the container, crun and
// runc leave its mounts behind. crun refuses a machine that has version 2 of cgroups beside version 1, so that is hidden
// from it.
func command(ctx context.Context, runtime, program string, args ...string) *exec.Cmd {
	script := `exec "$0" "$@"`
	if filepath.Base(runtime) == "crun" {
		script = "umount /sys/fs/cgroup/unified 2>/dev/null; " + script
	}
	return exec.CommandContext(ctx, "unshare", append([]string{"--mount", "sh", "-c", script, program}, args...)...)
}

// containers are the names of all that the runtime has.
func containers(runtime string) []string {
	out, err := command(context.Background(), runtime, runtime, "list", "-q").Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

// clean removes the containers that were not there before, and the control groups that the programs name.
func clean(runtime string, before []string) {
	for _, id := range containers(runtime) {
		if !slices.Contains(before, id) {
			_ = command(context.Background(), runtime, runtime, "delete", "--force", id).Run()
		}
	}
	for _, pattern := range []string{"*/testdir/cgrouptest", "*/testdir", "*/cgrouptest"} {
		dirs, _ := filepath.Glob("/sys/fs/cgroup/" + pattern)
		for _, dir := range dirs {
			_ = os.Remove(dir) // unless something is in it
		}
	}
}

func (r *result) count() {
	for line := range strings.Lines(r.output) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "not ok") && !strings.Contains(line, "# TODO"):
			r.notOK++
		case strings.HasPrefix(line, "ok") && strings.Contains(strings.ToUpper(line), "# SKIP"):
			r.passed++
		case strings.HasPrefix(line, "ok"):
			r.ok++
		case strings.HasPrefix(line, `"error": `) && !strings.HasPrefix(line, `"error": ""`):
			r.told++
		}
	}
}

// faults are the points that failed with what is said of them, and what is outside the points. A program that runs
// another inside quotes it in one line; of that, only the points that failed.
func (r result) faults() string {
	var out strings.Builder
	bad := true
	for line := range strings.Lines(strings.ReplaceAll(r.output, `\n`, "\n")) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "not ok"):
			bad = true
		case strings.HasPrefix(text, "ok "):
			bad = false
		case !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#"):
			bad = r.ok == 0 || !strings.HasPrefix(text, "TAP")
		}
		if bad && text != "---" && text != "..." {
			out.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	return out.String()
}
