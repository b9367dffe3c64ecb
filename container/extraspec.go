package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/shim"
	"dhow/container/signals"
)

// check refuses what makes no sense on any machine.
func (x *Extra) check() error {
	for _, l := range x.Rlimits {
		if _, err := l.resource(); err != nil {
			return err
		}
	}
	if x.StopSignal != "" {
		if _, err := signals.Parse(x.StopSignal); err != nil {
			return fmt.Errorf("stop signal: %w", err)
		}
	}
	if x.Log.MaxSize < 0 || x.Log.MaxFiles < 0 {
		return errors.New("log limits: size and number of files cannot be negative")
	}
	if x.ShmSize < 0 {
		return errors.New("size of /dev/shm cannot be negative")
	}
	if x.OOMScoreAdj != nil && (*x.OOMScoreAdj < -1000 || *x.OOMScoreAdj > 1000) {
		return fmt.Errorf("OOM score %d is not between -1000 and 1000", *x.OOMScoreAdj)
	}
	if r := x.RootFS; r != nil {
		if info, err := os.Stat(r.Path); err != nil {
			return fmt.Errorf("root directory: %w", err)
		} else if !info.IsDir() || !filepath.IsAbs(r.Path) {
			return fmt.Errorf("root directory %s: not the absolute path of a directory", r.Path)
		}
	}
	return x.Restart.check()
}

func (r Restart) check() error {
	switch r.Policy {
	case "", RestartNo, RestartAlways, RestartOnFailure, RestartUnlessStopped:
	default:
		return fmt.Errorf("restart policy %q: want no, always, on-failure or unless-stopped", r.Policy)
	}
	if r.MaxRetries < 0 {
		return fmt.Errorf("restart policy %s: maximum retry count cannot be negative", r.Policy)
	}
	if r.MaxRetries > 0 && r.Policy != RestartOnFailure {
		return fmt.Errorf("restart policy %s: maximum retry count can only be used with on-failure", r.Policy)
	}
	return nil
}

// wire is the policy as the shim knows it.
func (r Restart) wire() shim.Restart {
	return shim.Restart{
		Always:    r.Policy == RestartAlways || r.Policy == RestartUnlessStopped,
		OnFailure: r.Policy == RestartOnFailure, Max: r.MaxRetries,
	}
}

// rlimits by their names (getrlimit(2)).
var rlimits = []string{
	"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
}

// resource is the limit's number, the same on amd64 and arm64.
func (l Rlimit) resource() (int, error) {
	name := strings.TrimPrefix(strings.ToUpper(l.Type), "RLIMIT_")
	n := slices.Index(rlimits, name)
	if n < 0 {
		return 0, fmt.Errorf("unknown resource limit %q", l.Type)
	}
	if l.Soft > l.Hard {
		return 0, fmt.Errorf("resource limit %s: soft limit %d is over the hard limit %d", l.Type, l.Soft, l.Hard)
	}
	return n, nil
}

// extra puts what was asked for beyond CRI into the container's spec.
func (c *container) extra(spec *shim.Container) error {
	x := &c.Extra
	if err := c.namespaces(spec); err != nil {
		return err
	}
	for _, l := range x.Rlimits {
		n, err := l.resource()
		if err != nil {
			return err
		}
		spec.Process.Rlimits = append(spec.Process.Rlimits, shim.Rlimit{Resource: n, Soft: l.Soft, Hard: l.Hard})
	}
	spec.Process.Init = x.Init
	spec.Process.GroupNames = x.Groups
	spec.Process.NoNewPrivileges = spec.Process.NoNewPrivileges || x.NoNewPrivileges
	if x.OOMScoreAdj != nil {
		spec.Process.OOMScoreAdj = x.OOMScoreAdj
	}
	spec.ShmSize = x.ShmSize
	spec.LogMax, spec.LogFiles = x.Log.MaxSize, x.Log.MaxFiles
	spec.Restart = x.Restart.wire()
	if x.MaskedPaths != nil {
		spec.Masked = x.MaskedPaths
	}
	if x.ReadonlyPaths != nil {
		spec.ReadOnly = x.ReadonlyPaths
	}
	spec.Clocks = x.Time.text()
	spec.Hooks, spec.Annotations = hooks(x.Hooks), c.config.Annotations
	var err error
	if spec.ExitCommand, err = x.ExitCommand.wire(c.sandbox); err != nil {
		return err
	}
	for i := range spec.Mounts {
		spec.Mounts[i].CopyUp = slices.Contains(x.CopyUp, spec.Mounts[i].Target)
	}
	for _, t := range x.Tmpfs {
		m, err := t.mount()
		if err != nil {
			return err
		}
		spec.Mounts = append(spec.Mounts, m)
	}
	// What is mounted inside something comes after it.
	slices.SortStableFunc(spec.Mounts, func(a, b shim.Mount) int {
		return strings.Count(filepath.Clean(a.Target), "/") - strings.Count(filepath.Clean(b.Target), "/")
	})
	return nil
}

// text is what /proc/PID/timens_offsets takes.
func (t *TimeOffsets) text() string {
	if t == nil {
		return ""
	}
	line := func(name string, d time.Duration) string {
		whole := d.Truncate(time.Second)
		if d < whole {
			whole -= time.Second // the rest is counted upwards
		}
		return fmt.Sprintf("%s %d %d\n", name, whole/time.Second, d-whole)
	}
	return line("monotonic", t.Monotonic) + line("boottime", t.Boottime)
}

func hooks(h *specs.Hooks) map[string][]shim.Hook {
	if h == nil {
		return nil
	}
	all := map[string][]shim.Hook{}
	for name, list := range map[string][]specs.Hook{
		"prestart": h.Prestart, "createRuntime": h.CreateRuntime, "createContainer": h.CreateContainer, "startContainer": h.StartContainer,
		"poststart": h.Poststart, "poststop": h.Poststop,
	} {
		for _, hook := range list {
			s := shim.Hook{Path: hook.Path, Args: hook.Args, Env: hook.Env}
			if hook.Timeout != nil {
				s.Timeout = *hook.Timeout
			}
			all[name] = append(all[name], s)
		}
	}
	return all
}

// mountFlags are those options of mount(8) that hold for one mount, with what they set and clear.
var mountFlags = map[string]struct{ set, clear int }{
	"ro": {unix.MOUNT_ATTR_RDONLY, 0}, "rw": {0, unix.MOUNT_ATTR_RDONLY},
	"noexec": {unix.MOUNT_ATTR_NOEXEC, 0}, "exec": {0, unix.MOUNT_ATTR_NOEXEC},
	"nosuid": {unix.MOUNT_ATTR_NOSUID, 0}, "suid": {0, unix.MOUNT_ATTR_NOSUID},
	"nodev": {unix.MOUNT_ATTR_NODEV, 0}, "dev": {0, unix.MOUNT_ATTR_NODEV},
	"noatime": {unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME}, "relatime": {unix.MOUNT_ATTR_RELATIME, unix.MOUNT_ATTR__ATIME},
	"strictatime": {unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME},
	"nodiratime":  {unix.MOUNT_ATTR_NODIRATIME, 0}, "diratime": {0, unix.MOUNT_ATTR_NODIRATIME},
}

// tmpfsOptions are those that tmpfs(5) knows.
var tmpfsOptions = []string{
	"size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol", "noswap", "inode32", "inode64",
}

func (t Tmpfs) mount() (shim.Mount, error) {
	if !filepath.IsAbs(t.Target) {
		return shim.Mount{}, fmt.Errorf("tmpfs: path %q is not absolute", t.Target)
	}
	m := shim.Mount{Target: t.Target, Type: "tmpfs", Attributes: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	mode, size := "1777", ""
	if t.Mode != 0 {
		mode = strconv.FormatUint(uint64(t.Mode), 8)
	}
	if t.Size != 0 {
		size = strconv.FormatInt(t.Size, 10)
	}
	for _, option := range t.Options {
		key, value, _ := strings.Cut(option, "=")
		flag, known := mountFlags[option]
		switch {
		case known:
			m.Attributes = m.Attributes&^flag.clear | flag.set
		case key == "size":
			size = value
		case key == "mode":
			mode = value
		case slices.Contains(tmpfsOptions, key):
			m.Options = append(m.Options, option)
		default:
			return shim.Mount{}, fmt.Errorf("tmpfs %s: unknown option %q", t.Target, option)
		}
	}
	m.Options = append(m.Options, "mode="+mode)
	if size != "" {
		m.Options = append(m.Options, "size="+size)
	}
	return m, nil
}
