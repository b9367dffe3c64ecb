package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// Played runs the part that the arguments ask for and never returns from it; it returns at once when they ask for none.
func Played(args []string) {
	if len(args) != 2 || args[0] != Init && args[0] != Join {
		return
	}
	runtime.LockOSThread()
	shim.DefaultSignals()
	base, err := strconv.Atoi(args[1])
	if err != nil || base < 3 {
		fmt.Fprintln(os.Stderr, "this is a part of dhow's OCI runtime, which starts it")
		os.Exit(2)
	}
	_ = unix.CloseRange(uint(base), ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	p := &part{socket: base + 1, tell: base + 1}
	if args[0] == Init {
		err = p.run(base, p.initContainer)
	} else {
		err = p.run(base, p.join)
	}
	os.Exit(p.fail(err))
}

// part is an init, or an entrance.
type part struct {
	socket int // to the runtime
	tell   int // where problems are told: the socket, or the FIFO that start reads
}

// run reads the spec and does what it says. It returns only with an error.
func (p *part) run(spec int, do func([]byte) error) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // out of reach through the container's /proc
		return err
	}
	data, err := io.ReadAll(io.NewSectionReader(os.NewFile(uintptr(spec), "spec"), 0, 64<<20))
	if err != nil {
		return err
	}
	return do(data)
}

func (p *part) fail(err error) int {
	m := Message{Error: err.Error(), Code: 1}
	var f *Failure
	if errors.As(err, &f) {
		m.Code = f.Code
	}
	_ = p.say(m)
	return m.Code
}

func (p *part) say(m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = unix.Write(p.tell, data)
	return err
}

// await returns when the runtime says go.
func (p *part) await() error {
	n, err := readByte(p.socket)
	if err == nil && n == 0 {
		err = errors.New("the runtime has gone")
	}
	return err
}

func readByte(fd int) (int, error) {
	for {
		n, err := unix.Read(fd, make([]byte, 1))
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// initContainer builds the container's root, waits for start and becomes its command.
func (p *part) initContainer(data []byte) error {
	var c Container
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("container spec: %w", err)
	}
	if err := p.await(); err != nil { // until it is in its control groups
		return err
	}
	if err := setOwn(&c); err != nil {
		return err
	}
	if err := p.buildRoot(&c); err != nil {
		return err
	}
	file, env, err := prepare(&c.Process)
	if err != nil {
		return err
	}
	return p.start(&c, file, env)
}

// start waits until the user starts the container.
func (p *part) start(c *Container, file string, env []string) error {
	if err := p.say(Message{Step: StepReady}); err != nil {
		return err
	}
	unix.Close(p.socket)
	p.tell = c.ReportFD
	if _, err := readByte(c.StartFD); err != nil {
		return fmt.Errorf("wait for start: %w", err)
	}
	if err := c.hooks("startContainer", "created"); err != nil {
		return err
	}
	return execute(&c.Process, file, env)
}

// setOwn sets up the namespaces that are the container's own.
func setOwn(c *Container) error {
	if err := setOOMScore(c.Process.OOMScoreAdj); err != nil {
		return err
	}
	if c.NewCgroup {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("make cgroup namespace: %w", err)
		}
	}
	if c.NewNetwork {
		if err := shim.LoopbackUp(); err != nil {
			return fmt.Errorf("bring loopback up: %w", err)
		}
	}
	if c.Hostname != "" {
		if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
			return fmt.Errorf("sethostname %q: %w", c.Hostname, err)
		}
	}
	if c.Domainname != "" {
		if err := unix.Setdomainname([]byte(c.Domainname)); err != nil {
			return fmt.Errorf("setdomainname %q: %w", c.Domainname, err)
		}
	}
	return nil
}

// join becomes a command in a container whose namespaces it has been started in.
func (p *part) join(data []byte) error {
	var process Process
	if err := json.Unmarshal(data, &process); err != nil {
		return fmt.Errorf("process spec: %w", err)
	}
	if err := p.await(); err != nil {
		return err
	}
	if err := setOOMScore(process.OOMScoreAdj); err != nil {
		return err
	}
	if process.RootFD != 0 {
		if err := changeRoot(process.RootFD); err != nil {
			return err
		}
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if process.TTY {
		if err := openTerminal(-1, &process, process.ConsoleFD); err != nil {
			return err
		}
	}
	file, env, err := prepare(&process)
	if err != nil {
		return err
	}
	return execute(&process, file, env)
}

func setOOMScore(score *int) error {
	if score == nil {
		return nil
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(*score)), 0o644); err != nil {
		return fmt.Errorf("oomScoreAdj %d: %w", *score, err)
	}
	return nil
}
