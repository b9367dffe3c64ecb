package bundle

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/inside"
	"dhow/internal/seccomp"
)

// Process translates a command; linux has what all commands of a container share. The warnings are what cannot be given.
func Process(p *specs.Process, linux *specs.Linux) (_ *inside.Process, warnings []string, _ error) {
	switch {
	case len(p.Args) == 0:
		return nil, nil, errors.New("process.args must not be empty")
	case p.Cwd == "":
		return nil, nil, errors.New("process.cwd property must not be empty")
	case !path.IsAbs(p.Cwd):
		return nil, nil, errors.New("process.cwd must be an absolute path")
	}
	out := &inside.Process{
		Args: p.Args, Env: p.Env, Cwd: p.Cwd, UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids, Umask: 0o022,
		NoNewPrivileges: p.NoNewPrivileges, OOMScoreAdj: p.OOMScoreAdj, AppArmor: p.ApparmorProfile, SELinux: p.SelinuxLabel, TTY: p.Terminal,
	}
	if p.User.Umask != nil {
		out.Umask = *p.User.Umask
	}
	if p.ConsoleSize != nil {
		out.Width, out.Height = uint16(p.ConsoleSize.Width), uint16(p.ConsoleSize.Height)
	}
	for _, entry := range p.Env {
		if key, _, ok := strings.Cut(entry, "="); !ok || key == "" || strings.Contains(entry, "\x00") {
			return nil, nil, fmt.Errorf("process.env: %q is not NAME=VALUE", entry)
		}
	}
	if err := checkLabels(p); err != nil {
		return nil, nil, err
	}
	var err error
	if out.Capabilities, warnings, err = capabilities(p.Capabilities); err != nil {
		return nil, nil, err
	}
	if out.Rlimits, err = rlimits(p.Rlimits); err != nil {
		return nil, nil, err
	}
	if linux != nil && linux.Seccomp != nil {
		if err := filter(out, linux.Seccomp); err != nil {
			return nil, nil, err
		}
	}
	return out, warnings, extras(out, p, linux)
}

func checkLabels(p *specs.Process) error {
	if p.ApparmorProfile != "" {
		if data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || !strings.HasPrefix(string(data), "Y") {
			return fmt.Errorf("process.apparmorProfile: apparmor profile %q is specified in config, but apparmor is disabled or not supported", p.ApparmorProfile)
		}
	}
	if p.SelinuxLabel != "" {
		if !hasSELinux() {
			return errors.New("process.selinuxLabel: selinux label is specified in config, but selinux is disabled or not supported")
		}
	}
	return nil
}

func hasSELinux() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}

func filter(out *inside.Process, s *specs.LinuxSeccomp) error {
	if s.ListenerPath != "" {
		return errors.New("linux.seccomp.listenerPath is not supported: no calls can be handed to another process")
	}
	for _, f := range s.Flags {
		bit, known := seccompFlags[f]
		if !known {
			return fmt.Errorf("linux.seccomp.flags: %q is not supported", f)
		}
		out.SeccompFlags |= bit
	}
	for _, call := range s.Syscalls {
		if call.Action == specs.ActNotify {
			return errors.New("linux.seccomp: SCMP_ACT_NOTIFY is not supported: no calls can be handed to another process")
		}
	}
	program, err := seccomp.Compile(s)
	if err != nil {
		return fmt.Errorf("linux.seccomp: %w", err)
	}
	out.Seccomp = program
	return nil
}

var seccompFlags = map[specs.LinuxSeccompFlag]uint{
	specs.LinuxSeccompFlagLog: unix.SECCOMP_FILTER_FLAG_LOG, specs.LinuxSeccompFlagSpecAllow: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	"SECCOMP_FILTER_FLAG_TSYNC": 0, // one thread executes the command
}

// capabilityNames are in the order of their numbers (linux/capability.h).
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Capabilities are the names of all that are known.
func Capabilities() []string { return slices.Clone(capabilityNames) }

// capabilities leaves out those that nobody knows and those that this program itself does not have, which it could not
// give to anybody; both with a warning (runtime-spec, config.md, "Linux Process").
func capabilities(c *specs.LinuxCapabilities) (out inside.Capabilities, warnings []string, err error) {
	if c == nil {
		return out, nil, nil
	}
	held, err := bounding()
	if err != nil {
		return out, nil, err
	}
	missing := map[string]bool{}
	for _, set := range []struct {
		names []string
		to    *uint64
	}{
		{c.Bounding, &out.Bounding}, {c.Effective, &out.Effective}, {c.Permitted, &out.Permitted}, {c.Inheritable, &out.Inheritable}, {c.Ambient, &out.Ambient},
	} {
		for _, name := range set.names {
			n := slices.Index(capabilityNames, name)
			if n < 0 || held>>n&1 == 0 {
				missing[name] = true
				continue
			}
			*set.to |= 1 << n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		warnings = append(warnings, fmt.Sprintf("process.capabilities: %q cannot be granted: %s", name, whyNot(name)))
	}
	return out, warnings, nil
}

func whyNot(capability string) string {
	if slices.Contains(capabilityNames, capability) {
		return "the runtime does not have it itself"
	}
	return "Linux has none of that name"
}

func bounding() (uint64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		}
	}
	return 0, errors.New("/proc/self/status has no CapBnd")
}

// rlimitNames are in the order of their numbers (getrlimit(2)).
var rlimitNames = []string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

func rlimits(list []specs.POSIXRlimit) ([]inside.Rlimit, error) {
	var all []inside.Rlimit
	seen := map[string]bool{}
	for i, l := range list {
		n := slices.Index(rlimitNames, l.Type)
		if n < 0 {
			return nil, fmt.Errorf("process.rlimits[%d]: invalid rlimit type %q", i, l.Type)
		}
		if seen[l.Type] {
			return nil, fmt.Errorf("process.rlimits[%d]: %s is there twice", i, l.Type)
		}
		seen[l.Type] = true
		all = append(all, inside.Rlimit{Name: l.Type, Resource: n, Soft: l.Soft, Hard: l.Hard})
	}
	return all, nil
}
