package shim

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Container is what a container's init needs to know; the engine writes it to a file.
type Container struct {
	ID   string `json:"id"`
	Root Root   `json:"root"`
	// Mounts in the order they are made.
	Mounts  []Mount  `json:"mounts"`
	Devices []Device `json:"devices"`
	// Masked and ReadOnly are paths inside the root.
	Masked   []string `json:"masked"`
	ReadOnly []string `json:"readOnly"`
	// ShmSize is that of /dev/shm in bytes; 0: 64 MiB.
	ShmSize int64 `json:"shmSize,omitempty"`
	// OwnPID gives the container a pid namespace of its own; else it shares the shim's, or one that it joins.
	OwnPID bool `json:"ownPID"`
	// Own are further namespaces that it gets new (CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS), Join the kinds of those
	// that it enters: the request to start it has a descriptor for each.
	Own  uint64   `json:"own,omitempty"`
	Join []uint64 `json:"join,omitempty"`
	// SharedCgroup leaves it the shim's cgroup namespace.
	SharedCgroup bool `json:"sharedCgroup,omitempty"`
	// UserNS: the pod has a user namespace, whose ids start at HostUID and HostGID on the machine.
	UserNS  bool   `json:"userNS,omitempty"`
	HostUID uint32 `json:"hostUID,omitempty"`
	HostGID uint32 `json:"hostGID,omitempty"`
	// Clocks is the text for /proc/self/timens_offsets; empty: no time namespace.
	Clocks   string `json:"clocks,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Domain   string `json:"domain,omitempty"`
	// Sysctls are set in the container's namespaces.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Cgroups are the directories that it joins, one for each hierarchy.
	Cgroups []string `json:"cgroups"`
	Process Process  `json:"process"`
	// Log is the file for its output in CRI format; none if empty.
	Log string `json:"log"`
	// LogMax is how big it may be in bytes, 0: no limit; LogFiles how many there may be, this one included.
	LogMax   int64 `json:"logMax,omitempty"`
	LogFiles int   `json:"logFiles,omitempty"`
	// Stdin keeps an input open for attach; StdinOnce closes it after the first.
	Stdin     bool `json:"stdin"`
	StdinOnce bool `json:"stdinOnce"`
	// SysWritable mounts /sys and cgroups writable (privileged containers).
	SysWritable bool `json:"sysWritable"`
	// Start and Exit are where the shim writes that it runs, and how it ended.
	Start string `json:"start"`
	Exit  string `json:"exit"`
	// Restart says when it is started again.
	Restart Restart `json:"restart"`
	// Hooks by their OCI names.
	Hooks map[string][]Hook `json:"hooks,omitempty"`
	// Annotations are for the state that hooks read.
	Annotations map[string]string `json:"annotations,omitempty"`
	// ExitCommand is started when it has ended for good.
	ExitCommand *ExitCommand `json:"exitCommand,omitempty"`
}

// Restart is a policy.
type Restart struct {
	// Always starts it again whatever its exit code; OnFailure if that is not zero, Max times at most where Max is not 0.
	Always    bool `json:"always,omitempty"`
	OnFailure bool `json:"onFailure,omitempty"`
	Max       int  `json:"max,omitempty"`
}

// Hook is a program that is told the container's state on its standard input (runtime-spec, config.md).
type Hook struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	// Timeout in seconds; 0: none.
	Timeout int `json:"timeout"`
}

// Root is the root directory: an overlay of Lower (topmost first) and Upper, or Plain as it is.
type Root struct {
	Plain    string   `json:"plain,omitempty"`
	Lower    []string `json:"lower"`
	Upper    string   `json:"upper"`
	Work     string   `json:"work"`
	ReadOnly bool     `json:"readOnly"`
}

// Mount is a bind mount or a small file system.
type Mount struct {
	// Source is a path on the host, or empty for a file system of Type.
	Source string `json:"source"`
	Target string `json:"target"`
	// Image is mounted in place of Source, which is its name then; or of it what SubPath names.
	Image   *Root  `json:"image,omitempty"`
	SubPath string `json:"subPath,omitempty"`
	// Type is "tmpfs" with Options (key=value), when Source is empty.
	Type    string   `json:"type"`
	Options []string `json:"options"`
	// Attributes are MOUNT_ATTR_…
	Attributes int  `json:"attributes,omitempty"`
	ReadOnly   bool `json:"readOnly"`
	// Recursive makes what is mounted below the source read-only too.
	Recursive bool `json:"recursive"`
	// Propagation is unix.MS_PRIVATE (also zero), MS_SLAVE or MS_SHARED.
	Propagation uint64 `json:"propagation"`
	// MustMap: without the user namespace's ids on it the mount is of no use.
	MustMap bool `json:"mustMap,omitempty"`
	// CopyUp fills an empty source with what the root has at the target.
	CopyUp bool `json:"copyUp,omitempty"`
	// Label is an SELinux context for a file system of Type.
	Label string `json:"label,omitempty"`
}

// Device is a node to make in /dev.
type Device struct {
	Source string `json:"source"` // on the host
	Target string `json:"target"` // in the container
}

// Process is a command and the rights it runs with.
type Process struct {
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Cwd  string   `json:"cwd"`
	// User is "name", "uid", "name:group" or "uid:gid", looked up in the container; UID and GID win where set.
	User   string   `json:"user"`
	UID    *int64   `json:"uid"`
	GID    *int64   `json:"gid"`
	Groups []uint32 `json:"groups"`
	// GroupNames are further groups, by name or number, looked up in the container.
	GroupNames []string `json:"groupNames,omitempty"`
	// StrictGroups leaves out the groups that the image's /etc/group lists the user in.
	StrictGroups bool `json:"strictGroups,omitempty"`
	// Capabilities is the mask of those it may have, by number.
	Capabilities    uint64   `json:"capabilities"`
	NoNewPrivileges bool     `json:"noNewPrivileges"`
	Seccomp         Filter   `json:"seccomp"`
	Rlimits         []Rlimit `json:"rlimits"`
	OOMScoreAdj     *int     `json:"oomScoreAdj"`
	TTY             bool     `json:"tty"`
	// Init puts the shim's own small init in front of it.
	Init bool `json:"init,omitempty"`
	// AppArmor is a profile, SELinux a context for the command; empty: none.
	AppArmor string `json:"appArmor,omitempty"`
	SELinux  string `json:"selinux,omitempty"`
}

// Filter is a seccomp filter. As text it is the kernel's own form, in base 64: a long list of numbers takes long to read.
type Filter []unix.SockFilter

const instruction = 8 // bytes, of linux/filter.h's struct sock_filter

// MarshalText implements encoding.TextMarshaler.
func (f Filter) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, len(f)*instruction)
	for _, i := range f {
		raw = binary.LittleEndian.AppendUint16(raw, i.Code)
		raw = append(raw, i.Jt, i.Jf)
		raw = binary.LittleEndian.AppendUint32(raw, i.K)
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Filter) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(raw)%instruction != 0 {
		return errors.New("seccomp filter cannot be read")
	}
	*f = make(Filter, 0, len(raw)/instruction)
	for ; len(raw) > 0; raw = raw[instruction:] {
		*f = append(*f, unix.SockFilter{
			Code: binary.LittleEndian.Uint16(raw), Jt: raw[2], Jf: raw[3], K: binary.LittleEndian.Uint32(raw[4:]),
		})
	}
	return nil
}

// Rlimit is one resource limit (getrlimit(2)).
type Rlimit struct {
	Resource   int `json:"resource"`
	Soft, Hard uint64
}

// Start says when a container's command was executed.
type Start struct {
	// At is in nanoseconds since 1970, of the last start.
	At int64 `json:"at"`
	// Pid is the command's, as the shim sees it; 0 while it waits to be started again.
	Pid int `json:"pid,omitempty"`
	// User is whom the command runs as.
	User *Identity `json:"user,omitempty"`
	// Restarts counts them.
	Restarts int `json:"restarts,omitempty"`
	// Last is how it ended the time before.
	Last *Exit `json:"last,omitempty"`
}

// Identity is a user with its groups, in the container's own ids. Groups has GID, too.
type Identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
}

// Exit says how a container ended.
type Exit struct {
	Code int `json:"code"`
	// Signal is the signal that killed it, or 0.
	Signal int `json:"signal"`
	// At is in nanoseconds since 1970.
	At int64 `json:"at"`
	// OOM: the kernel killed something in the container for want of memory.
	OOM bool `json:"oom"`
	// Error says why it never started.
	Error string `json:"error,omitempty"`
}
