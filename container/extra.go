package container

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Extra is what may be asked of a container beyond CRI's configuration: what the flags of docker and podman say. The
// zero value asks for nothing. It is kept in the container's record as JSON. What the kernel cannot do is refused
// by CreateContainerWith (or StartContainer, where only the kernel knows) with an error that names the field.
type Extra struct {
	// Rlimits are set before the command is executed (--ulimit).
	Rlimits []Rlimit `json:"rlimits,omitempty"`
	// Init puts a small init in front of the command as PID 1: it passes signals on and reaps orphans (--init).
	Init bool `json:"init,omitempty"`
	// Hostname and Domainname are those of a private UTS namespace (--hostname, --domainname); the pod's if empty.
	Hostname   string `json:"hostname,omitempty"`
	Domainname string `json:"domainname,omitempty"`
	// Groups are supplementary groups by name or number, looked up in the container's /etc/group (--group-add).
	Groups []string `json:"groups,omitempty"`

	// StopSignal is a name or number, with or without SIG; CRI's and then the image's if empty (--stop-signal).
	StopSignal string `json:"stopSignal,omitempty"`
	// StopTimeout in seconds is how long StopContainer waits when it is given a negative timeout; nil: 10, negative:
	// for ever (--stop-timeout).
	StopTimeout *int `json:"stopTimeout,omitempty"`
	// Restart says when the shim starts the container again by itself (--restart).
	Restart Restart `json:"restart"`
	// Log bounds the log file at LogPath (--log-opt max-size, max-file).
	Log LogLimits `json:"log"`

	// RootFS is a directory to use as the root in place of an image (--rootfs); nil: the image's snapshot.
	RootFS *RootFS `json:"rootfs,omitempty"`
	// Tmpfs are further file systems in memory (--tmpfs, --mount type=tmpfs).
	Tmpfs []Tmpfs `json:"tmpfs,omitempty"`
	// CopyUp are container paths of bind mounts (config.Mounts) whose source, if it is an empty directory, is first
	// filled with what the root has at that path, owners and modes included: what docker does with new volumes.
	CopyUp []string `json:"copyUp,omitempty"`
	// ShmSize is the size of /dev/shm in bytes; 0: 64 MiB (--shm-size).
	ShmSize int64 `json:"shmSize,omitempty"`

	// The namespaces; see NamespaceMode. Empty ones are as the sandbox says. A private network has loopback only.
	Network NamespaceMode `json:"network,omitempty"`
	IPC     NamespaceMode `json:"ipc,omitempty"`
	UTS     NamespaceMode `json:"uts,omitempty"`
	PID     NamespaceMode `json:"pid,omitempty"`
	// Cgroup is private if empty.
	Cgroup NamespaceMode `json:"cgroup,omitempty"`
	// Time gives the container a time namespace with clocks that differ from the machine's; nil: the machine's.
	Time *TimeOffsets `json:"time,omitempty"`
	// Sysctls are set in the container's namespaces before its command runs (--sysctl). Only those of its network,
	// IPC and UTS namespaces may be, and only where these are not the host's.
	Sysctls map[string]string `json:"sysctls,omitempty"`

	// MemoryReservation in bytes is what the kernel leaves a container when memory is short; 0: none
	// (--memory-reservation; memory.soft_limit_in_bytes, memory.low).
	MemoryReservation int64 `json:"memoryReservation,omitempty"`
	// MemorySwap in bytes limits memory and swap together; 0: CRI's, -1: no limit (--memory-swap).
	MemorySwap int64 `json:"memorySwap,omitempty"`
	// Swappiness is 0 to 100; cgroup v1 only (--memory-swappiness).
	Swappiness *uint64 `json:"swappiness,omitempty"`
	// PidsLimit is how many processes and threads there may be; nil or 0: no limit of its own, -1: none (--pids-limit).
	PidsLimit *int64 `json:"pidsLimit,omitempty"`
	// BlockIO is the container's share of, and its limits on, block devices (--blkio-weight, --device-read-bps …).
	BlockIO BlockIO `json:"blockIO"`
	// OOMScoreAdj is -1000 to 1000; CRI's if nil (--oom-score-adj).
	OOMScoreAdj *int `json:"oomScoreAdj,omitempty"`
	// OOMKillDisable lets processes wait for memory instead of being killed; cgroup v1 only (--oom-kill-disable).
	OOMKillDisable bool `json:"oomKillDisable,omitempty"`
	// DeviceRules let the container use devices that it makes itself: "c 42:* rmw" (--device-cgroup-rule).
	DeviceRules []string `json:"deviceRules,omitempty"`

	// MaskedPaths and ReadonlyPaths replace CRI's and the defaults; empty but not nil: none
	// (--security-opt systempaths=unconfined).
	MaskedPaths   []string `json:"maskedPaths"`
	ReadonlyPaths []string `json:"readonlyPaths"`
	// NoNewPrivileges adds to CRI's no_new_privs (--security-opt no-new-privileges).
	NoNewPrivileges bool `json:"noNewPrivileges,omitempty"`

	// Hooks are OCI's (runtime-spec, config.md, "POSIX-platform Hooks"). The shim runs them, also on restarts: prestart,
	// createRuntime and poststart in the pod's network, IPC and UTS namespaces and the machine's mounts, poststop
	// when the container is removed.
	Hooks *specs.Hooks `json:"hooks,omitempty"`
	// ExitCommand is started when the container has ended for good; nil: none.
	ExitCommand *ExitCommand `json:"exitCommand,omitempty"`
}

// NamespaceMode names a namespace:
//
//	""               as the sandbox's configuration says
//	"private"        a new one of the container's own
//	"host"           the machine's
//	"container:ID"   that of another container of this engine, by its full id; it must run
//	"sandbox:ID"     that of a sandbox of this engine
//	"ns:PATH"        the one at PATH, such as /proc/1/ns/net or /run/netns/blue
type NamespaceMode string

// The modes without an argument.
const (
	NamespacePrivate NamespaceMode = "private"
	NamespaceHost    NamespaceMode = "host"
)

// Rlimit is one resource limit (getrlimit(2)).
type Rlimit struct {
	// Type is "nofile" or "RLIMIT_NOFILE", and so on.
	Type string `json:"type"`
	// Soft and Hard are in the limit's own unit; RlimitInfinity is no limit.
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// RlimitInfinity is no limit.
const RlimitInfinity = ^uint64(0)

// The policies of a Restart.
const (
	RestartNo            = "no"
	RestartAlways        = "always"
	RestartOnFailure     = "on-failure"
	RestartUnlessStopped = "unless-stopped"
)

// Restart says whether a container that has ended is started again. The shim waits 100 ms before the first restart,
// twice as long before each further one up to a minute, and begins anew after ten seconds of running. A stop that was
// asked for (StopContainer, Kill) ends it. Restarts need no daemon.
type Restart struct {
	// Policy is RestartNo (also if empty), RestartAlways, RestartOnFailure or RestartUnlessStopped. The last two differ
	// from the others after a reboot only, which is the business of who keeps the containers.
	Policy string `json:"policy,omitempty"`
	// MaxRetries bounds RestartOnFailure; 0: no bound.
	MaxRetries int `json:"maxRetries,omitempty"`
}

// LogLimits bound a log file. The shim moves a full one away: c.log becomes c.log.1, c.log.1 becomes c.log.2, and so on.
type LogLimits struct {
	// MaxSize in bytes; 0: no limit.
	MaxSize int64 `json:"maxSize,omitempty"`
	// MaxFiles counts the current one; 0 is 1: a full log begins anew.
	MaxFiles int `json:"maxFiles,omitempty"`
}

// RootFS is a plain directory as a container's root.
type RootFS struct {
	// Path is absolute and exists.
	Path string `json:"path"`
	// Overlay keeps what the container writes out of the directory; it is lost when the container is removed.
	Overlay bool `json:"overlay,omitempty"`
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	// Target is the absolute path in the container.
	Target string `json:"target"`
	// Size in bytes; 0: half of the machine's memory, as the kernel has it.
	Size int64 `json:"size,omitempty"`
	// Mode of its top directory; 0: 01777.
	Mode uint32 `json:"mode,omitempty"`
	// Options are mount(8)'s: ro, rw, exec, noexec, suid, nosuid, dev, nodev, noatime, relatime …, and those of tmpfs(5),
	// such as uid=1000 or nr_inodes=1k. noexec, nosuid and nodev hold unless they say otherwise.
	Options []string `json:"options,omitempty"`
}

// TimeOffsets are added to the machine's clocks (time_namespaces(7)).
type TimeOffsets struct {
	Boottime  time.Duration `json:"boottime,omitempty"`
	Monotonic time.Duration `json:"monotonic,omitempty"`
}

// BlockIO shares and limits block devices. Weights are of cgroup v1's scale, 10 to 1000; 0: none.
type BlockIO struct {
	Weight        uint16         `json:"weight,omitempty"`
	WeightDevices []WeightDevice `json:"weightDevices,omitempty"`
	// Limits per second, in bytes or in operations.
	ReadBPS   []DeviceLimit `json:"readBPS,omitempty"`
	WriteBPS  []DeviceLimit `json:"writeBPS,omitempty"`
	ReadIOPS  []DeviceLimit `json:"readIOPS,omitempty"`
	WriteIOPS []DeviceLimit `json:"writeIOPS,omitempty"`
}

// WeightDevice is the weight for one device, by its path on the host.
type WeightDevice struct {
	Path   string `json:"path"`
	Weight uint16 `json:"weight"`
}

// DeviceLimit is a limit for one device, by its path on the host.
type DeviceLimit struct {
	Path string `json:"path"`
	Rate uint64 `json:"rate"`
}
