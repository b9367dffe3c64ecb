package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"dhow/engine/events"
)

// The ends of containers of `run -d`: who takes them down is the command that the shim starts, as no other is called here.

func TestAContainerThatIsToBeRemovedGoesAtItsEnd(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	m.dhow(t, "network", "create", "net")
	id := m.dhow(t, "run", "-d", "--rm", "--name", "short", "--network", "net", "-p", "7979:80", "-v", "/anonymous", "busybox", "sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 3")
	if m.gone(id) || !m.hasRules(t) {
		t.Fatal("it has ended before its time")
	}
	m.endOf(t, id)
	until(t, "the container is removed", func() bool { return m.gone(id) })
	until(t, "its groups are removed", func() bool { return len(m.groups(t)) == 0 })
	m.isClean(t)
	if m.hasRules(t) {
		t.Error("left: entries for its ports")
	}
	if volumes, _ := filepath.Glob(filepath.Join(m.root, "var/lib/dhow/engine/volumes/[0-9a-f]*")); len(volumes) > 0 {
		t.Errorf("left: %v", volumes)
	}
	if l, err := net.Listen("tcp", ":7979"); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	if got := m.actions(t, id); got != "create start die 3 destroy" {
		t.Errorf("it was told of: %s", got)
	}
}

func TestAContainerThatIsKeptGivesBackItsPlaceAtItsEnd(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	m.dhow(t, "network", "create", "net")
	stays := m.dhow(t, "run", "-d", "--name", "stays", "--network", "net", "busybox", "sleep", "1000")
	for _, how := range []struct {
		name  string
		flags []string
		end   func(t *testing.T, id string)
		tells string
	}{
		{"by itself", nil, m.endOf, "create start die 3"},
		{"killed", []string{"--init"}, func(t *testing.T, id string) {
			check(t, syscall.Kill(m.pid(t, id), syscall.SIGKILL))
		}, "create start die 137"},
		{"its command is told to end", nil, func(t *testing.T, id string) { m.dhow(t, "kill", "-s", "TERM", id) }, "create start kill die 7"},
		{"with users of its own", []string{"--userns", "auto"}, m.endOf, "create start die 3"},
		{"with the machine's processes and names", []string{"--pid", "host", "--uts", "host", "--ipc", "host"}, m.endOf, "create start die 3"},
		{"after restarts", []string{"--restart", "on-failure:2"}, m.endOf, "create start die 3"},
	} {
		id := m.dhow(t, append(append([]string{"run", "-d", "--name", "ends", "--network", "net", "-p", "7979:80"}, how.flags...), "busybox",
			"sh", "-c", `trap "exit 7" TERM; echo up; while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 3`)...)
		until(t, how.name+": it listens to signals", func() bool { return strings.Contains(m.dhow(t, "logs", id), "up") })
		if !strings.Contains(m.hosts(t, stays), "ends") {
			t.Errorf("%s: its neighbour does not know it", how.name)
		}
		how.end(t, id)
		until(t, how.name+": its end is told of", func() bool { return strings.Contains(m.actions(t, id), "die") })
		until(t, how.name+": its shim has ended", func() bool { return m.sandboxes(t) == 1 })
		if got := m.actions(t, id); got != how.tells {
			t.Errorf("%s: it was told of: %s", how.name, got)
		}
		if strings.Contains(m.hosts(t, stays), "ends") {
			t.Errorf("%s: its neighbour still knows it", how.name)
		}
		if l, err := net.Listen("tcp", ":7979"); err != nil {
			t.Errorf("%s: %v", how.name, err)
		} else {
			l.Close()
		}
		want := "exited " + how.tells[strings.LastIndexByte(how.tells, ' ')+1:]
		if now := m.dhow(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ends"); now != want {
			t.Errorf("%s: it is %s, want %s", how.name, now, want)
		}
		m.dhow(t, "rm", "ends")
	}
}

// TestAnEndIsTakenDownOnceWhoeverIsThere ends containers while others look at them, stop, kill and remove them.
func TestAnEndIsTakenDownOnceWhoeverIsThere(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	for _, beside := range [][]string{
		{"ps", "-a"}, {"wait", "busy"}, {"stop", "busy"}, {"kill", "busy"}, {"rm", "-f", "busy"}, {"inspect", "busy"}, {"start", "busy"}, {"logs", "-f", "busy"},
	} {
		id := m.dhow(t, "run", "-d", "--name", "busy", "-p", "7979:80", "busybox", "sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.02; done; exit 3")
		m.endOf(t, id)
		_, _ = m.try(t, beside...) // it may be running, ended or gone by then; started again, it ends at once
		runs := func() int { return strings.Count(m.actions(t, id), "start") }
		ends := func() int { return strings.Count(m.actions(t, id), "die") }
		until(t, fmt.Sprintf("%v: it has ended", beside), func() bool { return m.sandboxes(t) == 0 && ends() >= runs() })
		if ends() > runs() {
			t.Errorf("%v: it was told of: %s", beside, m.actions(t, id))
		}
		_, _ = m.try(t, "rm", "-f", "busy")
		m.isClean(t)
	}
}

// TestAnExitCommandThatIsKilledLeavesTheEndToTheNext kills it at moments all over its work.
func TestAnExitCommandThatIsKilledLeavesTheEndToTheNext(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	for i := range 12 {
		id := m.dhow(t, "run", "-d", "--rm", "--name", "short", "-p", "7979:80", "busybox", "sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.02; done; exit 3")
		m.endOf(t, id)
		var pid int
		until(t, "it is being taken down", func() bool {
			pid = m.cleaner(id)
			return pid != 0 || m.gone(id)
		})
		timer := time.NewTimer(time.Duration(i) * 3 * time.Millisecond)
		<-timer.C
		if pid != 0 && pid == m.cleaner(id) {
			if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) { // it has just ended
				check(t, err)
			}
		}
		until(t, "nobody is at work", func() bool { return m.cleaner(id) == 0 })
		if now := m.dhow(t, "ps", "-aq"); now != "" {
			t.Errorf("left: %s", now)
		}
		if died := strings.Count(m.actions(t, id), "die"); died > 1 {
			t.Errorf("it was told of: %s", m.actions(t, id))
		}
	}
	m.dhow(t, "run", "--rm", "busybox", "true") // clears what was half removed
	m.isClean(t)
}

// TestARunThatIsKilledLeavesItsContainerToTheExitCommand: what was in the foreground is taken down as well.
func TestARunThatIsKilledLeavesItsContainerToTheExitCommand(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	cmd := m.command("run", "--rm", "--cidfile", filepath.Join(m.root, "id"), "busybox", "sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.02; done")
	check(t, cmd.Start())
	var id string
	until(t, "it runs", func() bool {
		data, _ := os.ReadFile(filepath.Join(m.root, "id"))
		id = string(data)
		return id != "" && strings.Contains(m.actions(t, id), "start")
	})
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	m.endOf(t, id)
	until(t, "the container is removed", func() bool { return m.gone(id) })
	m.isClean(t)
}

// endOf ends a container that waits for a file. Whoever makes the file may still be there when the container has ended by it, and is
// killed with it.
func (m machine) endOf(t *testing.T, id string) {
	t.Helper()
	if out, code := m.try(t, "exec", id, "touch", "/tmp/end"); code != 0 && code != 128+int(syscall.SIGKILL) {
		t.Errorf("the container's file: exit code %d: %s", code, out)
	}
}

// pid is the first process of a container.
func (m machine) pid(t *testing.T, id string) int {
	t.Helper()
	var pid int
	_, err := fmt.Sscan(m.dhow(t, "inspect", "-f", "{{.State.Pid}}", id), &pid)
	check(t, err)
	return pid
}

func (m machine) gone(id string) bool {
	_, err := os.Stat(filepath.Join(m.root, "var/lib/dhow/engine/containers", id))
	return err != nil
}

func (m machine) sandboxes(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m.root, "run/dhow/engine/containers/[0-9a-f]*"))
	check(t, err)
	return len(found)
}

func (m machine) groups(t *testing.T) []string {
	t.Helper()
	parent := (&environment{Root: m.root}).cgroupParent()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		dirs, err := filepath.Glob(pattern + parent)
		check(t, err)
		found = append(found, dirs...)
	}
	return found
}

func (m machine) hasRules(t *testing.T) bool {
	t.Helper()
	tables, err := (&nftables.Conn{}).ListTables()
	check(t, err)
	for _, table := range tables {
		if strings.HasPrefix(table.Name, "dh") {
			return true
		}
	}
	return false
}

func (m machine) hosts(t *testing.T, id string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, "var/lib/dhow/engine/containers", id, "hosts"))
	check(t, err)
	return string(data)
}

// actions are what was told of a container, with the codes of its ends.
func (m machine) actions(t *testing.T, id string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, "var/lib/dhow/engine/events.json"))
	check(t, err)
	var all []string
	for line := range strings.Lines(string(data)) {
		var e events.Event
		if json.Unmarshal([]byte(line), &e) != nil || e.ID != id || strings.HasPrefix(e.Action, "exec_start") {
			continue
		}
		all = append(all, e.Action)
		if e.Action == "die" {
			all = append(all, e.Attributes["exitCode"])
		}
	}
	return strings.Join(all, " ")
}

// cleaner is the process that takes down a container's end; 0: there is none.
func (m machine) cleaner(id string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(string(data), "\x00cleanup\x00"+id+"\x00") {
			var pid int
			_, _ = fmt.Sscanf(file, "/proc/%d/", &pid)
			return pid
		}
	}
	return 0
}
