package foreign

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/profiles/seccomp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// spec says in runtime-spec's words what CRI's configuration and the image ask for. The program runs in the pod's network,
// IPC and UTS namespaces and in the container's group already.
func spec(c *cri.ContainerConfig, image ocispec.ImageConfig, root string) (*specs.Spec, error) {
	security := c.GetLinux().GetSecurityContext()
	s := &specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: root, Readonly: security.GetReadonlyRootfs()},
		Process: &specs.Process{
			Args: command(c, image), Env: environment(c, image), Cwd: cmp.Or(c.WorkingDir, image.WorkingDir, "/"), Terminal: c.Tty,
			Capabilities: capabilities(security), NoNewPrivileges: security.GetNoNewPrivs(), ApparmorProfile: apparmor(security),
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}, Resources: resources(c.GetLinux().GetResources())},
	}
	if len(s.Process.Args) == 0 {
		return nil, errors.New("neither the configuration nor the image names a command")
	}
	if security.GetNamespaceOptions().GetPid() == cri.NamespaceMode_CONTAINER {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
	}
	if r := c.GetLinux().GetResources(); r != nil {
		score := int(r.OomScoreAdj)
		s.Process.OOMScoreAdj = &score
	}
	var err error
	if s.Process.User, err = user(security, image, root); err != nil {
		return nil, err
	}
	s.Mounts = append(systemMounts(security.GetPrivileged()), mounts(c)...)
	if security.GetPrivileged() {
		return s, nil
	}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = security.GetMaskedPaths(), security.GetReadonlyPaths()
	s.Linux.Seccomp, err = filter(security.GetSeccomp(), s)
	return s, err
}

func command(c *cri.ContainerConfig, image ocispec.ImageConfig) []string {
	switch {
	case len(c.Command) > 0:
		return append(slices.Clone(c.Command), c.Args...)
	case len(c.Args) > 0:
		return append(slices.Clone(image.Entrypoint), c.Args...)
	}
	return append(slices.Clone(image.Entrypoint), image.Cmd...)
}

// environment is the image's with the configuration's over it.
func environment(c *cri.ContainerConfig, image ocispec.ImageConfig) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if c.Tty {
		env = append(env, "TERM=xterm")
	}
	set := func(entry string) {
		name, _, _ := strings.Cut(entry, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		env = append(env, entry)
	}
	for _, e := range image.Env {
		set(e)
	}
	for _, e := range c.Envs {
		set(e.Key + "=" + string(e.Value))
	}
	return env
}

// defaultCapabilities are docker's.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// allCapabilities are those of Linux 5.9, which a privileged container has.
var allCapabilities = append([]string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_DAC_READ_SEARCH", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_NET_ADMIN", "CAP_NET_BROADCAST",
	"CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_SYSLOG", "CAP_WAKE_ALARM",
}, defaultCapabilities...)

func capabilities(s *cri.LinuxContainerSecurityContext) *specs.LinuxCapabilities {
	have := slices.Clone(defaultCapabilities)
	if s.GetPrivileged() {
		have = slices.Clone(allCapabilities)
	}
	for _, name := range s.GetCapabilities().GetDropCapabilities() {
		have = slices.DeleteFunc(have, func(c string) bool { return name == "ALL" || c == full(name) })
	}
	for _, name := range s.GetCapabilities().GetAddCapabilities() {
		if name == "ALL" {
			have = slices.Clone(allCapabilities)
		} else if !slices.Contains(have, full(name)) {
			have = append(have, full(name))
		}
	}
	return &specs.LinuxCapabilities{Bounding: have, Effective: have, Permitted: have}
}

// full is a capability's name with its prefix, which CRI leaves out.
func full(name string) string { return "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_") }

func apparmor(s *cri.LinuxContainerSecurityContext) string {
	if p := s.GetApparmor(); p.GetProfileType() == cri.SecurityProfile_Localhost {
		return p.LocalhostRef
	}
	return ""
}

func filter(p *cri.SecurityProfile, s *specs.Spec) (*specs.LinuxSeccomp, error) {
	switch p.GetProfileType() {
	case cri.SecurityProfile_Unconfined:
		return nil, nil
	case cri.SecurityProfile_Localhost:
		data, err := os.ReadFile(p.LocalhostRef)
		if err != nil {
			return nil, fmt.Errorf("seccomp profile: %w", err)
		}
		if !json.Valid(data) {
			return nil, fmt.Errorf("seccomp profile: %s is not JSON", p.LocalhostRef)
		}
		return seccomp.LoadProfile(string(data), s)
	}
	return seccomp.GetDefaultProfile(s)
}

// systemMounts are what every container has.
func systemMounts(privileged bool) []specs.Mount {
	access := "ro"
	if privileged {
		access = "rw"
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", access}},
	}
}

// podFiles are the pod's, which the engine shows the program in place of the machine's.
var podFiles = []string{"/etc/resolv.conf", "/etc/hostname"}

func mounts(c *cri.ContainerConfig) []specs.Mount {
	var all []specs.Mount
	own := map[string]bool{}
	for _, m := range c.Mounts {
		own[filepath.Clean(m.ContainerPath)] = true
	}
	for _, path := range podFiles {
		if !own[path] {
			all = append(all, specs.Mount{Destination: path, Type: "bind", Source: path, Options: []string{"bind", "rprivate"}})
		}
	}
	propagations := map[cri.MountPropagation]string{
		cri.MountPropagation_PROPAGATION_PRIVATE: "rprivate", cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER: "rslave",
		cri.MountPropagation_PROPAGATION_BIDIRECTIONAL: "rshared",
	}
	for _, m := range c.Mounts {
		options := []string{"rbind", propagations[m.Propagation]}
		switch {
		case m.RecursiveReadOnly:
			options = append(options, "rro")
		case m.Readonly:
			options = append(options, "ro")
		}
		options = append(options, m.MountOptions...)
		all = append(all, specs.Mount{Destination: m.ContainerPath, Type: "bind", Source: m.HostPath, Options: options})
	}
	return all
}

// resources hold where the program makes a group beside its own, not in it (cgroup version 2).
func resources(r *cri.LinuxContainerResources) *specs.LinuxResources {
	if r == nil {
		return nil
	}
	all := &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}}
	if r.CpuShares > 0 {
		shares := uint64(r.CpuShares)
		all.CPU.Shares = &shares
	}
	if r.CpuPeriod > 0 && r.CpuQuota > 0 {
		period, quota := uint64(r.CpuPeriod), r.CpuQuota
		all.CPU.Period, all.CPU.Quota = &period, &quota
	}
	if r.MemoryLimitInBytes > 0 {
		all.Memory = &specs.LinuxMemory{Limit: &r.MemoryLimitInBytes}
	}
	return all
}
