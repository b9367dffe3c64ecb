package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// become runs what turns this process into a command. It says on the report's descriptor why it could not.
func become(f func(spec []byte) error) {
	defaultSignals()
	report := os.NewFile(reportFD, "report")
	_ = unix.CloseRange(specFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	spec, err := io.ReadAll(io.NewSectionReader(os.NewFile(specFD, "spec"), 0, 16<<20))
	if err == nil {
		err = f(spec)
	}
	var start *startError
	if !errors.As(err, &start) {
		start = &startError{Code: 128, Message: err.Error()}
	}
	start.report(report)
	os.Exit(start.Code)
}

// initContainer builds the container's root and becomes its command.
func initContainer(data []byte) error {
	var c Container
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("container spec: %w", err)
	}
	if err := waitForHooks(); err != nil {
		return err
	}
	if err := setOOMScore(c.Process.OOMScoreAdj); err != nil {
		return err
	}
	if err := setLabels(&c.Process); err != nil {
		return err
	}
	if err := hide(); err != nil {
		return err
	}
	if !c.SharedCgroup {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("make cgroup namespace: %w", err)
		}
	}
	if err := setNames(&c); err != nil {
		return err
	}
	unix.Umask(0) // devices and mount points are made as they are meant
	if err := buildRoot(&c); err != nil {
		return err
	}
	if err := hooksInside(&c, "startContainer"); err != nil {
		return err
	}
	return execute(&c.Process, tellUser)
}

// tellUser reports whom the container's command runs as.
func tellUser(who user) {
	data, _ := json.Marshal(childReport{User: &Identity{UID: who.uid, GID: who.gid, Groups: who.groups}}) // numbers only
	_, _ = unix.Write(reportFD, data)                                                                     // the shim may have gone
}

// waitForHooks waits until the shim has run those that come before the root is built.
func waitForHooks() error {
	n, err := unix.Read(holdFD, make([]byte, 1))
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(holdFD, make([]byte, 1))
	}
	if err == nil && n == 0 {
		err = errors.New("the start was called off")
	}
	return err
}

// setNames sets up namespaces that are the container's own, not the pod's.
func setNames(c *Container) error {
	if c.Own&unix.CLONE_NEWNET != 0 {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring loopback up: %w", err)
		}
	}
	if c.Hostname != "" {
		if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
			return fmt.Errorf("set hostname %q: %w", c.Hostname, err)
		}
	}
	if c.Domain != "" {
		if err := unix.Setdomainname([]byte(c.Domain)); err != nil {
			return fmt.Errorf("set domain name %q: %w", c.Domain, err)
		}
	}
	return setSysctls(c.Sysctls)
}

// joinContainer becomes a command in a container, whose namespaces it has been started in.
func joinContainer(data []byte) error {
	var p Process
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("process spec: %w", err)
	}
	if err := setOOMScore(p.OOMScoreAdj); err != nil {
		return err
	}
	if err := setLabels(&p); err != nil {
		return err
	}
	if err := hide(); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return execute(&p, func(user) {})
}

// hide keeps processes of the container from reaching into this one through /proc before it is theirs.
func hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide: %w", err)
	}
	return nil
}

func setOOMScore(score *int) error {
	if score == nil {
		return nil
	}
	err := os.WriteFile("/proc/self/oom_score_adj", []byte(fmt.Sprint(*score)), 0o644)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return nil // below our own needs CAP_SYS_RESOURCE: the container is killed sooner than it asks
	}
	if errors.Is(err, unix.ENOENT) {
		return nil // the container has unmounted its /proc; the shim's score is as good
	}
	return err
}

// execute gives up rights and becomes the command. It tells whom that runs as.
func execute(p *Process, tell func(user)) error {
	if p.TTY {
		if err := unix.IoctlSetInt(0, unix.TIOCSCTTY, 0); err != nil {
			return fmt.Errorf("take the terminal: %w", err)
		}
	}
	who, err := resolveUser(p)
	if err != nil {
		return err
	}
	tell(who)
	unix.Umask(0o022) // not the daemon's
	env := withHome(p.Env, who.home)
	reaper := -1
	if p.Init {
		if reaper, err = unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	if err := changeDirectory(p.Cwd, who); err != nil {
		return err
	}
	if p.TTY {
		_ = unix.Fchown(0, int(who.uid), -1) // as docker does; not on a terminal of a read-only devpts
	}
	if err := closeOthers(); err != nil {
		return err
	}
	if err := takeRights(p, who); err != nil {
		return err
	}
	if reaper >= 0 {
		return runReaper(reaper, p, env)
	}
	return execCommand(p.Args, env)
}

// closeOthers leaves the command 0, 1 and 2 only.
func closeOthers() error {
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	return nil
}

// changeDirectory makes the directory if the image lacks it. A directory outside the root is refused: it would be
// a way out (CVE-2024-21626).
func changeDirectory(dir string, who user) error {
	if dir == "" {
		dir = "/"
	}
	err := unix.Chdir(dir)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			_ = unix.Chown(dir, int(who.uid), int(who.gid))
			err = unix.Chdir(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("change to working directory %q: %w", dir, err)
	}
	if !insideRoot() {
		return fmt.Errorf("working directory %q is not inside the container", dir)
	}
	return nil
}

// insideRoot tells whether this process' root leads to the directory that it is in. If not, getcwd(2) begins with
// "(unreachable)", which Getwd makes ENOENT; what is mounted over /proc cannot make it lie. A seccomp filter may forbid to
// ask it.
func insideRoot() bool {
	_, err := syscall.Getwd()
	if err == nil || errors.Is(err, unix.ENOENT) {
		return err == nil
	}
	wd, err := os.Readlink("/proc/self/cwd")
	return err != nil || strings.HasPrefix(wd, "/")
}

// execCommand finds the command as execvp(3) does and executes it.
func execCommand(args, env []string) error {
	file, err := find(args, env)
	if err != nil {
		return err
	}
	return execError(args[0], unix.Exec(file, args, env))
}

// find is the file of a command.
func find(args, env []string) (string, error) {
	if len(args) == 0 {
		return "", &startError{127, "no command: neither the container nor its image names one"}
	}
	file, err := lookUp(args[0], env)
	if err != nil {
		return "", execError(args[0], err)
	}
	return file, nil
}

// execError gives a command that cannot be executed the code that shells give it.
func execError(name string, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return &startError{127, fmt.Sprintf("exec: %q: %v", name, unix.ENOENT)}
	}
	return &startError{126, fmt.Sprintf("exec: %q: %v", name, err)}
}

func lookUp(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	places := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			places = value
		}
	}
	failed := error(unix.ENOENT)
	for dir := range strings.SplitSeq(places, ":") {
		candidate := path.Join(dir, name)
		var st unix.Stat_t
		if err := unix.Stat(candidate, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if st.Mode&0o111 != 0 {
			return candidate, nil
		}
		failed = unix.EACCES
	}
	return "", failed
}
