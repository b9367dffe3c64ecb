package container

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
	"dhow/internal/rootfs"
	compiler "dhow/internal/seccomp"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// process is the container's own command: the configuration's, or the image's where it is silent.
func (c *container) process(snapshot *rootfs.Snapshot) (*shim.Process, error) {
	image := snapshot.Config
	args := append(slices.Clone(c.config.Command), c.config.Args...)
	if len(c.config.Command) == 0 {
		args = append(slices.Clone(image.Entrypoint), c.config.Args...)
		if len(c.config.Args) == 0 {
			args = append(slices.Clone(image.Entrypoint), image.Cmd...)
		}
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("no command: neither the container nor its image %s names one", c.config.GetImage().GetImage())
	}
	p := &shim.Process{Args: args, Cwd: c.config.WorkingDir, User: image.User, TTY: c.config.Tty}
	if p.Cwd == "" {
		p.Cwd = image.WorkingDir
	}
	p.Env = environment(image.Env, c.config.Envs, c.sandbox.hostname(), c.config.Tty)
	return p, c.rights(p)
}

// environment is the image's, then the configuration's, with PATH, HOSTNAME and for terminals TERM.
func environment(image []string, own []*cri.KeyValue, hostname string, tty bool) []string {
	env := []string{defaultPath, "HOSTNAME=" + hostname}
	if tty {
		env = append(env, "TERM=xterm")
	}
	set := func(key, entry string) {
		for i, old := range env {
			if strings.HasPrefix(old, key+"=") {
				env[i] = entry
				return
			}
		}
		env = append(env, entry)
	}
	for _, entry := range image {
		key, _, _ := strings.Cut(entry, "=")
		set(key, entry)
	}
	for _, kv := range own {
		set(kv.Key, kv.Key+"="+string(kv.Value))
	}
	return env
}

// rights fills in who the process is and what it may do.
func (c *container) rights(p *shim.Process) error {
	linux := c.config.GetLinux()
	s := linux.GetSecurityContext()
	if s == nil {
		s = &cri.LinuxContainerSecurityContext{}
	}
	if s.RunAsUsername != "" {
		p.User = s.RunAsUsername
	}
	if s.RunAsUser != nil {
		p.UID = &s.RunAsUser.Value
	}
	if s.RunAsGroup != nil {
		p.GID = &s.RunAsGroup.Value
	}
	for _, g := range s.SupplementalGroups {
		p.Groups = append(p.Groups, uint32(g))
	}
	p.NoNewPrivileges = s.NoNewPrivs
	var err error
	if p.Capabilities, err = capabilities(s); err != nil {
		return err
	}
	if p.Seccomp, err = filter(s, p.Capabilities); err != nil {
		return err
	}
	p.StrictGroups = s.SupplementalGroupsPolicy == cri.SupplementalGroupsPolicy_Strict
	if err := labels(s, p); err != nil {
		return err
	}
	if r := linux.GetResources(); r != nil {
		score := int(r.OomScoreAdj)
		p.OOMScoreAdj = &score
	}
	return nil
}

// capabilityNames are in the order of their numbers (linux/capability.h).
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// defaultCapabilities are Docker's.
var defaultCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
	"SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

// capabilities is the mask of those that the process may have, and that this program itself has.
func capabilities(s *cri.LinuxContainerSecurityContext) (uint64, error) {
	all := uint64(1)<<len(capabilityNames) - 1
	mask, err := own(all)
	if err != nil || s.Privileged {
		return mask, err
	}
	wanted := maskOf(defaultCapabilities)
	for _, change := range []struct {
		names []string
		add   bool
	}{{s.GetCapabilities().GetDropCapabilities(), false}, {s.GetCapabilities().GetAddCapabilities(), true}} {
		for _, name := range change.names {
			bits, err := capability(name, all)
			if err != nil {
				return 0, err
			}
			if change.add {
				wanted |= bits
			} else {
				wanted &^= bits
			}
		}
	}
	return wanted & mask, nil
}

func maskOf(names []string) uint64 {
	var mask uint64
	for _, name := range names {
		mask |= 1 << slices.Index(capabilityNames, name)
	}
	return mask
}

func capability(name string, all uint64) (uint64, error) {
	short := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	if short == "ALL" {
		return all, nil
	}
	i := slices.Index(capabilityNames, short)
	if i < 0 {
		return 0, fmt.Errorf("unknown capability %q", name)
	}
	return 1 << i, nil
}

// own is what this program may hand on: its bounding set.
func own(all uint64) (uint64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return mask & all, err
		}
	}
	return all, nil
}

// filter compiles the seccomp profile: the runtime's default, which is also that of who asks for none; a file of the
// administrator's; or nothing.
func filter(s *cri.LinuxContainerSecurityContext, caps uint64) ([]unix.SockFilter, error) {
	profile := s.Seccomp
	if s.Privileged || profile.GetProfileType() == cri.SecurityProfile_Unconfined {
		return nil, nil
	}
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilityList(caps)}}}
	var loaded *specs.LinuxSeccomp
	var err error
	if profile.GetProfileType() == cri.SecurityProfile_Localhost {
		loaded, err = localProfile(profile.LocalhostRef, spec)
	} else {
		loaded, err = seccomp.GetDefaultProfile(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	return compiler.Compile(loaded)
}

func localProfile(path string, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("%s is not JSON", path)
	}
	return seccomp.LoadProfile(string(data), spec)
}

func capabilityList(mask uint64) []string {
	var names []string
	for i, name := range capabilityNames {
		if mask>>i&1 == 1 {
			names = append(names, "CAP_"+name)
		}
	}
	return names
}
