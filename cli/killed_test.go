package cli

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestARunThatIsKilledLeavesAContainerThatCanBeUsed kills dhow run at moments all over its work: what it leaves can be
// listed, started and removed, and nothing else is left.
func TestARunThatIsKilledLeavesAContainerThatCanBeUsed(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	m.dhow(t, "network", "create", "net")
	args := []string{"run", "-d", "--name", "victim", "--network", "net", "-p", "7777:80", "-v", "data:/data", "busybox", "sleep", "1000"}
	begun := time.Now()
	m.dhow(t, args...)
	whole := time.Since(begun)
	m.dhow(t, "rm", "-f", "victim")
	seen := map[string]int{}
	for i := range 24 {
		after := time.Duration(rand.Int64N(int64(whole) * 5 / 4))
		cmd := m.command(args...)
		check(t, cmd.Start())
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		_ = cmd.Wait()
		timer.Stop()
		state := m.dhow(t, "ps", "-a", "--format", "{{.State}}")
		seen[state]++
		if state == "" {
			continue
		}
		if i%2 == 0 {
			m.dhow(t, "start", "victim")
			if now := m.dhow(t, "inspect", "-f", "{{.State.Status}}", "victim"); now != "running" {
				t.Errorf("killed after %v: %s, and %s once it was started", after, state, now)
			}
			m.dhow(t, "exec", "victim", "cat", "/data/seed")
		}
		m.dhow(t, "rm", "-f", "victim")
		if t.Failed() {
			t.Fatalf("killed after %v: it was %s", after, state)
		}
	}
	t.Logf("a run of %v, killed, has left %v", whole, seen)
	m.dhow(t, "run", "--rm", "busybox", "true") // clears what was half-made
	m.isClean(t)
}

// isClean says that nothing is left of containers: no records, shims, places in networks, links or rules.
func (m machine) isClean(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{
		"var/lib/dhow/engine/containers/[0-9a-f]*", "run/dhow/engine/containers/[0-9a-f]*", "run/dhow/engine/networks/*.member.json", "var/lib/dhow/images/snapshots/[0-9a-f]*",
	} {
		left, err := filepath.Glob(filepath.Join(m.root, pattern))
		check(t, err)
		if len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	links, err := net.Interfaces()
	check(t, err)
	for _, l := range links {
		if strings.HasPrefix(l.Name, "dh") {
			t.Errorf("left: link %s", l.Name)
		}
	}
}

func TestANameIsGivenToOneOfThoseWhoWantItAtOnce(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	var all sync.WaitGroup
	codes := make([]int, 6)
	outs := make([]string, len(codes))
	for i := range codes {
		all.Go(func() {
			outs[i], codes[i] = m.try(t, "run", "-d", "--name", "xx", "-p", "7070:70", "busybox", "sleep", "1000")
		})
	}
	all.Wait()
	won := 0
	for i, code := range codes {
		switch {
		case code == 0:
			won++
		case code != 125 || !strings.Contains(outs[i], `The container name "/xx" is already in use`):
			t.Errorf("exit code %d: %s", code, outs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d have won", won)
	}
	if names := m.dhow(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); names != "xx running" {
		t.Errorf("there are: %s", names)
	}
}

func TestPortsAreGivenToOneOfThoseWhoWantThemAtOnce(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			m.dhow(t, "run", "-d", "--name", fmt.Sprintf("c%d", i), "-p", "7100-7105:80", "busybox", "sleep", "1000")
		})
	}
	all.Wait()
	taken := map[string]bool{}
	for _, port := range strings.Fields(m.dhow(t, "ps", "--format", "{{.Ports}}")) {
		if taken[port] {
			t.Errorf("%s was given twice", port)
		}
		taken[port] = true
	}
	if len(taken) != 6 {
		t.Errorf("%d ports: %v", len(taken), taken)
	}
}
