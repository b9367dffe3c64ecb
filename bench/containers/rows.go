package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

func (b *bench) runtimeNames() []string {
	var names []string
	for _, r := range b.runtimes {
		names = append(names, r.name)
	}
	return names
}

func (b *bench) engineNames() []string {
	var names []string
	for _, e := range b.engines {
		names = append(names, e.name)
	}
	return names
}

// process changes what the bundle runs.
func (b *bench) process(args ...string) error {
	path := filepath.Join(b.dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	process := spec["process"].(map[string]any)
	process["args"], process["terminal"] = args, false
	delete(process, "rlimits")   // higher than some machines allow
	spec["ociVersion"] = "1.0.2" // Debian's crun knows no later one
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func (b *bench) runtimeRun() error {
	if err := b.process("/bin/true"); err != nil {
		return err
	}
	took, err := b.timed(b.runtimeNames(), func(i, round int) error {
		_, err := b.output(append(b.runtimes[i].line, "run", "--bundle", b.dir, fmt.Sprintf("bench-%d-%d", os.Getpid(), round))...)
		return err
	})
	if err == nil {
		times("OCI runtime: run + exit", "-", b.runtimeNames(), took)
	}
	return err
}

func (b *bench) runtimeExec() error {
	if err := b.process("/bin/sleep", "1000"); err != nil {
		return err
	}
	id := func(i int) string { return fmt.Sprintf("bench-%d-exec-%d", os.Getpid(), i) }
	for i, r := range b.runtimes {
		if _, err := b.output("sh", "-c", `exec "$@" </dev/null >/dev/null 2>&1`, "sh", r.line[0], r.line[1], r.line[2], "run", "--detach", "--bundle", b.dir, id(i)); err != nil {
			return err
		}
	}
	took, failed := b.timed(b.runtimeNames(), func(i, _ int) error {
		_, err := b.output(append(b.runtimes[i].line, "exec", id(i), "/bin/true")...)
		return err
	})
	if failed == nil {
		times("OCI runtime: exec", "-", b.runtimeNames(), took)
	}
	for i, r := range b.runtimes {
		_, err := b.output(append(r.line, "delete", "--force", id(i))...)
		failed = errors.Join(failed, err)
	}
	return failed
}

func (b *bench) runExit() error {
	took, err := b.timed(b.engineNames(), func(i, _ int) error {
		_, err := b.output(b.engines[i].start("--rm", imageName, "/bin/true")...)
		return err
	})
	if err == nil {
		times("command line: run --rm", "-", b.engineNames(), took)
	}
	return err
}

func (b *bench) exec() error {
	for _, e := range b.engines {
		if _, err := b.output(e.start("-d", "--name", "exec", imageName, "/bin/sleep", "1000")...); err != nil {
			return err
		}
	}
	took, err := b.timed(b.engineNames(), func(i, _ int) error {
		_, err := b.output(b.engines[i].command("exec", "exec", "/bin/true")...)
		return err
	})
	if err == nil {
		times("command line: exec", "-", b.engineNames(), took)
	}
	return err
}

// stop ends containers that listen to SIGTERM.
func (b *bench) stop() error {
	for _, e := range b.engines {
		for round := range b.rounds {
			args := e.start("-d", "--name", fmt.Sprint("stop", round), imageName, "/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done")
			if _, err := b.output(args...); err != nil {
				return err
			}
		}
	}
	took, err := b.timed(b.engineNames(), func(i, round int) error {
		_, err := b.output(b.engines[i].command("stop", fmt.Sprint("stop", round))...)
		return err
	})
	if err == nil {
		times("command line: stop", "-", b.engineNames(), took)
	}
	return err
}

// atOnce starts many containers by as many commands at the same time, and looks at what they cost then.
func (b *bench) atOnce() error {
	took, memory := map[string]time.Duration{}, map[string]float64{}
	for _, e := range b.engines {
		if err := e.removeAll(b); err != nil {
			return err
		}
		begin := time.Now()
		if err := b.startMany(e); err != nil {
			return err
		}
		took[e.name] = time.Since(begin)
		bytes, err := supervisors(e)
		if err != nil {
			return err
		}
		memory[e.name] = float64(bytes) / float64(b.many) / (1 << 20)
		if err := e.removeAll(b); err != nil {
			return err
		}
	}
	times(fmt.Sprintf("command line: %d started at once", b.many), "-", b.engineNames(), took)
	var peers []string
	for _, name := range b.engineNames()[1:] {
		peers = append(peers, fmt.Sprintf("%s %.1f MB", name, memory[name]))
	}
	row("private memory of each, beside its processes", fmt.Sprintf("%.1f MB", memory["dhow"]), "1.2 MB", peers)
	return nil
}

func (b *bench) startMany(e engine) error {
	var wait sync.WaitGroup
	failed := make([]error, b.many)
	for i := range b.many {
		wait.Go(func() { _, failed[i] = b.output(e.start("-d", imageName, "/bin/sleep", "1000")...) })
	}
	wait.Wait()
	return errors.Join(failed...)
}

// supervisors are the private bytes of the processes that hold an engine's containers.
func supervisors(e engine) (int64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, entry := range entries {
		cmdline, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || !e.supervisor(string(cmdline)) {
			continue
		}
		n, err := private(entry.Name())
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// private sums Private_* of a process's smaps_rollup (proc_pid_smaps_rollup(5)), in bytes.
func private(pid string) (int64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && strings.HasPrefix(fields[0], "Private_") {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += kb << 10
		}
	}
	return sum, nil
}

// logs lets a container write 200 MB of lines, and waits for its end.
func (b *bench) logs() error {
	const times = 10
	script := "for i in" + strings.Repeat(" again", times) + "; do cat /lines; done"
	rate := map[string]float64{}
	for _, e := range b.engines {
		begin := time.Now()
		id, err := b.output(e.start("-d", imageName, "/bin/sh", "-c", script)...)
		if err != nil {
			return err
		}
		if _, err := b.output(e.command("wait", id)...); err != nil {
			return err
		}
		rate[e.name] = times * lineBytes * lineCount / 1e6 / time.Since(begin).Seconds()
	}
	var peers []string
	for _, name := range b.engineNames()[1:] {
		peers = append(peers, fmt.Sprintf("%s %.0f MB/s", name, rate[name]))
	}
	row(fmt.Sprintf("log of lines of %d bytes", lineBytes), fmt.Sprintf("%.0f MB/s", rate["dhow"]), "-", peers)
	return nil
}
