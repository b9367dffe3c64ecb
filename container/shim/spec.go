package shim

import "golang.org/x/sys/unix"

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
	// OwnPID gives the container a pid namespace of its own; else it shares the shim's.
	OwnPID bool `json:"ownPID"`
	// Cgroups are the directories that it joins, one for each hierarchy.
	Cgroups []string `json:"cgroups"`
	Process Process  `json:"process"`
	// Log is the file for its output in CRI format; none if empty.
	Log string `json:"log"`
	// Stdin keeps an input open for attach; StdinOnce closes it after the first.
	Stdin     bool `json:"stdin"`
	StdinOnce bool `json:"stdinOnce"`
	// SysWritable mounts /sys and cgroups writable (privileged containers).
	SysWritable bool `json:"sysWritable"`
	// Start and Exit are where the shim writes that it runs, and how it ended.
	Start string `json:"start"`
	Exit  string `json:"exit"`
}

// Root is the root directory: an overlay of Lower (topmost first) and Upper.
type Root struct {
	Lower    []string `json:"lower"`
	Upper    string   `json:"upper"`
	Work     string   `json:"work"`
	ReadOnly bool     `json:"readOnly"`
	// Staging is an empty directory to mount it on for a moment.
	Staging string `json:"staging"`
}

// Mount is a bind mount or a small file system.
type Mount struct {
	// Source is a path on the host, or empty for a file system of Type.
	Source string `json:"source"`
	Target string `json:"target"`
	// Type is "tmpfs" with Options (key=value), when Source is empty.
	Type     string   `json:"type"`
	Options  []string `json:"options"`
	ReadOnly bool     `json:"readOnly"`
	// Recursive makes what is mounted below the source read-only too.
	Recursive bool `json:"recursive"`
	// Propagation is unix.MS_PRIVATE (also zero), MS_SLAVE or MS_SHARED.
	Propagation uint64 `json:"propagation"`
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
	// Capabilities is the mask of those it may have, by number.
	Capabilities    uint64            `json:"capabilities"`
	NoNewPrivileges bool              `json:"noNewPrivileges"`
	Seccomp         []unix.SockFilter `json:"seccomp"`
	Rlimits         []Rlimit          `json:"rlimits"`
	OOMScoreAdj     *int              `json:"oomScoreAdj"`
	TTY             bool              `json:"tty"`
}

// Rlimit is one resource limit (getrlimit(2)).
type Rlimit struct {
	Resource   int `json:"resource"`
	Soft, Hard uint64
}

// Start says when a container's command was executed.
type Start struct {
	// At is in nanoseconds since 1970.
	At int64 `json:"at"`
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
