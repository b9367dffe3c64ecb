package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dhow/internal/logtest"
)

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	master, slave *os.File
	cmd           *exec.Cmd
	screen        logtest.Buffer
}

func openTerminal(t *testing.T, rows, columns uint16, cmd *exec.Cmd) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	check(t, err)
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	check(t, err)
	check(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	x := &terminal{master: os.NewFile(uintptr(fd), "ptmx"), cmd: cmd}
	x.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	t.Cleanup(func() {
		x.master.Close()
		x.slave.Close()
	})
	x.size(t, rows, columns)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = x.slave, x.slave, x.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	check(t, cmd.Start())
	go func() { _, _ = io.Copy(&x.screen, x.master) }()
	return x
}

func (x *terminal) size(t *testing.T, rows, columns uint16) {
	t.Helper()
	raw, err := x.master.SyscallConn()
	check(t, err)
	check(t, raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}))
	check(t, err)
}

func (x *terminal) keys(t *testing.T, text string) {
	t.Helper()
	_, err := x.master.WriteString(text)
	check(t, err)
}

// ends waits for the program, and says whether it has left the terminal as it was: with echo and whole lines.
func (x *terminal) ends(t *testing.T, want int) {
	t.Helper()
	if code := exitCode(t, x.cmd.Wait()); code != want {
		t.Errorf("%v: exit code %d, want %d: %s", x.cmd.Args[3:], code, want, x.screen.String())
	}
	flags, err := unix.IoctlGetTermios(int(x.slave.Fd()), unix.TCGETS)
	check(t, err)
	if flags.Lflag&unix.ECHO == 0 || flags.Lflag&unix.ICANON == 0 {
		t.Errorf("%v: the terminal was left raw", x.cmd.Args[3:])
	}
}

const waitLoop = "while true; do sleep 0.02; done"

func TestTerminalsOfContainers(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	run := func(t *testing.T, args ...string) *terminal {
		t.Helper()
		return openTerminal(t, 40, 100, m.command(append([]string{"run", "--rm", "-it"}, args...)...))
	}
	t.Run("have the size from the start and follow it", func(t *testing.T) {
		x := run(t, "busybox", "sh", "-c", `trap 'stty size; exit 3' WINCH; stty size; echo ready; `+waitLoop)
		says(t, &x.screen, "40 100\r\nready")
		x.size(t, 50, 120)
		says(t, &x.screen, "50 120")
		x.ends(t, 3)
	})
	t.Run("pass ctrl-c and the exit code", func(t *testing.T) {
		x := run(t, "busybox", "sh", "-c", `trap 'exit 6' INT; echo ready; `+waitLoop)
		says(t, &x.screen, "ready")
		x.keys(t, "\x03")
		x.ends(t, 6)
	})
	t.Run("are left by keys and come back by attach", func(t *testing.T) {
		x := openTerminal(t, 40, 100, m.command("run", "-it", "--name", "kept", "busybox", "sh"))
		says(t, &x.screen, "#")
		x.keys(t, "\x10\x11")
		x.ends(t, 0)
		if state := m.dhow(t, "inspect", "-f", "{{.State.Status}}", "kept"); state != "running" {
			t.Errorf("it is %s after it was left", state)
		}
		x = openTerminal(t, 30, 90, m.command("attach", "--detach-keys", "ctrl-x,y", "kept"))
		x.keys(t, "stty size\n")
		says(t, &x.screen, "30 90")
		x.keys(t, "\x18y")
		x.ends(t, 0)
		x = openTerminal(t, 30, 90, m.command("attach", "kept"))
		x.keys(t, "exit 8\n")
		x.ends(t, 8)
		m.dhow(t, "rm", "kept")
	})
	t.Run("are had by commands in containers", func(t *testing.T) {
		m.dhow(t, "run", "-d", "--name", "host", "busybox", "sleep", "1000")
		x := openTerminal(t, 33, 77, m.command("exec", "-it", "host", "sh", "-c", `trap 'stty size; exit 4' WINCH; stty size; tty; `+waitLoop))
		says(t, &x.screen, "33 77\r\n/dev/pts/")
		x.size(t, 34, 78)
		says(t, &x.screen, "34 78")
		x.ends(t, 4)
		m.dhow(t, "rm", "-f", "host")
	})
	t.Run("are left by a signal to this program", func(t *testing.T) {
		x := openTerminal(t, 40, 100, m.command("run", "-it", "--name", "left", "busybox", "sh"))
		says(t, &x.screen, "#")
		check(t, x.cmd.Process.Signal(syscall.SIGTERM))
		x.ends(t, 143)
		if state := m.dhow(t, "inspect", "-f", "{{.State.Status}}", "left"); state != "running" {
			t.Errorf("it is %s", state)
		}
		m.dhow(t, "rm", "-f", "left")
	})
	t.Run("need a terminal for their input", func(t *testing.T) {
		out, code := m.try(t, "run", "--rm", "-it", "busybox", "true")
		if code != 125 || !strings.Contains(out, "the input device is not a TTY") {
			t.Errorf("%d: %s", code, out)
		}
		if out, code := m.try(t, "run", "--rm", "-t", "busybox", "tty"); code != 0 || out != "/dev/pts/0\r\n" {
			t.Errorf("without input: %d: %q", code, out)
		}
	})
	t.Run("refuse keys that there are not", func(t *testing.T) {
		x := run(t, "--detach-keys", "ctrl-5,hello", "busybox", "true")
		x.ends(t, 125)
		says(t, &x.screen, "invalid detach keys")
	})
}

func TestSignalsAreGivenOn(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	script := `for s in HUP INT TERM USR1 QUIT; do trap "echo got $s; exit 5" $s; done; echo ready; ` + waitLoop
	start := func(t *testing.T, flags ...string) (*exec.Cmd, *logtest.Buffer) {
		t.Helper()
		out := &logtest.Buffer{}
		cmd := m.command(append(append([]string{"run", "--name", "signalled"}, flags...), "busybox", "sh", "-c", script)...)
		cmd.Stdout, cmd.Stderr = out, out
		check(t, cmd.Start())
		says(t, out, "ready")
		return cmd, out
	}
	for sig, name := range map[syscall.Signal]string{syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGUSR1: "USR1", syscall.SIGQUIT: "QUIT"} {
		t.Run(name, func(t *testing.T) {
			cmd, out := start(t, "--rm")
			check(t, cmd.Process.Signal(sig))
			if code := exitCode(t, cmd.Wait()); code != 5 || !strings.Contains(out.String(), "got "+name) {
				t.Errorf("exit code %d: %s", code, out.String())
			}
		})
	}
	t.Run("not with --sig-proxy=false", func(t *testing.T) {
		cmd, out := start(t, "--sig-proxy=false")
		check(t, cmd.Process.Signal(syscall.SIGINT))
		if code := exitCode(t, cmd.Wait()); code != 130 || strings.Contains(out.String(), "got") {
			t.Errorf("exit code %d: %s", code, out.String())
		}
		if state := m.dhow(t, "inspect", "-f", "{{.State.Status}}", "signalled"); state != "running" {
			t.Errorf("the container is %s", state)
		}
		m.dhow(t, "rm", "-f", "signalled")
	})
}

func TestKeysThatDetachAreTakenOutOfTheInput(t *testing.T) {
	for _, c := range []struct {
		keys, typed, want string
		detached          bool
	}{
		{"ctrl-p,ctrl-q", "abc", "abc", false},
		{"ctrl-p,ctrl-q", "ab\x10\x11cd", "ab", true},
		{"ctrl-p,ctrl-q", "\x10a\x10\x10\x11", "\x10a\x10", true},
		{"ctrl-p,ctrl-q", "\x11\x10", "\x11", false},
		{"a,b,c", "abab", "ab", false},
		{"ctrl-@,ctrl-\\", "x\x00\x1c", "x", true},
		{"", "\x10\x11", "\x10\x11", false},
	} {
		keys, err := detachKeys(c.keys)
		check(t, err)
		detached := false
		got, err := io.ReadAll(&detachReader{from: strings.NewReader(c.typed), keys: keys, detach: func() { detached = true }})
		if err != nil || string(got) != c.want || detached != c.detached {
			t.Errorf("%q with %q: %q, %v, %v", c.typed, c.keys, got, detached, err)
		}
	}
	for _, text := range []string{"ctrl-", "ctrl-5", "ab", "a,,b", "alt-x"} {
		if _, err := detachKeys(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
