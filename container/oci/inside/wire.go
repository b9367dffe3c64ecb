package inside

import "golang.org/x/sys/unix"

// The parts that the program plays, by its first argument; the second is the number of the first descriptor after 0, 1,
// 2 and those that are kept for the command. Descriptors from there on are: the spec, the socket to the runtime, then what
// the spec names.
const (
	Init = "dhow-oci-init"
	Join = "dhow-oci-join"
)

// What init and the runtime tell each other, on a SOCK_SEQPACKET socket.
//
//	init                           runtime
//	{"step":"mounted"}      →
//	                        ←      "go": the hooks beside the container have run
//	{"step":"ready"}        →      create is done
//	{"error":…,"code":…}    →      at any time before
const (
	StepMounted = "mounted"
	StepReady   = "ready"
)

// Message is what init or the entrance says.
type Message struct {
	Step  string `json:"step,omitempty"`
	Error string `json:"error,omitempty"`
	Code  int    `json:"code,omitempty"`
}

// Failure is a command that cannot be executed, with the code that shells give it.
type Failure struct {
	Code    int
	Message string
}

func (f *Failure) Error() string { return f.Message }

// Container is what init needs to know.
type Container struct {
	ID         string `json:"id"`
	Hostname   string `json:"hostname,omitempty"`
	Domainname string `json:"domainname,omitempty"`
	// Rootfs is where the root is on the machine; hooks find it there too, with all mounts, until it becomes the root.
	Rootfs string `json:"rootfs"`
	// NoPivot moves the root to "/" and uses chroot, for a machine whose own root is the kernel's first one.
	NoPivot     bool   `json:"noPivot,omitempty"`
	ReadOnly    bool   `json:"readOnly,omitempty"`
	Propagation uint64 `json:"propagation,omitempty"` // MS_…, 0: as the machine's, one way
	// MountNS is the mount namespace to be in, where that is not the container's own (0: it is).
	MountNS int `json:"mountNS,omitempty"`
	// NewNetwork and NewCgroup: the namespace is the container's own.
	NewNetwork bool `json:"newNetwork,omitempty"`
	NewCgroup  bool `json:"newCgroup,omitempty"`
	// Cgroup2 says which version the machine has.
	Cgroup2 bool `json:"cgroup2,omitempty"`
	// Mounts in the order they are made.
	Mounts    []Mount           `json:"mounts,omitempty"`
	Devices   []Device          `json:"devices,omitempty"`
	Masked    []string          `json:"masked,omitempty"`
	Protected []string          `json:"protected,omitempty"`
	Sysctls   map[string]string `json:"sysctls,omitempty"`
	// Hooks that run in the container, by their OCI names, and the state they are told.
	Hooks       map[string][]Hook `json:"hooks,omitempty"`
	Version     string            `json:"version"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Process     Process           `json:"process"`
	// Descriptors: the root's mount, the FIFO that start writes to, the one that it reads, the console's socket (0: none).
	RootFD    int `json:"rootFD"`
	StartFD   int `json:"startFD"`
	ReportFD  int `json:"reportFD"`
	ConsoleFD int `json:"consoleFD,omitempty"`
}

// Hook is a program that is told the container's state on its standard input.
type Hook struct {
	Path    string   `json:"path"`
	Args    []string `json:"args,omitempty"`
	Env     []string `json:"env,omitempty"`
	Timeout *int     `json:"timeout,omitempty"`
}

// Mount is one of the container's.
type Mount struct {
	Target string `json:"target"`
	// FD is a detached mount of the source, for bind mounts; 0: a file system of Type.
	FD     int    `json:"fd,omitempty"`
	Type   string `json:"type,omitempty"`
	Source string `json:"source,omitempty"`
	// Flags are MS_…, Data what is for the file system.
	Flags uintptr `json:"flags,omitempty"`
	Data  string  `json:"data,omitempty"`
	// Propagation are further mount(2) calls with MS_PRIVATE and the like.
	Propagation []uintptr `json:"propagation,omitempty"`
	// Set and Clear are MOUNT_ATTR_… for it and all below it.
	Set    uint64 `json:"set,omitempty"`
	Clear  uint64 `json:"clear,omitempty"`
	CopyUp bool   `json:"copyUp,omitempty"`
}

// Device is a node to make.
type Device struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"` // with the type, as mknod(2) takes it
	Rdev uint64 `json:"rdev"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
}

// Capabilities are masks by number.
type Capabilities struct {
	Bounding    uint64 `json:"bounding"`
	Effective   uint64 `json:"effective"`
	Permitted   uint64 `json:"permitted"`
	Inheritable uint64 `json:"inheritable"`
	Ambient     uint64 `json:"ambient"`
}

// Rlimit is one resource limit (getrlimit(2)).
type Rlimit struct {
	Name     string `json:"name"`
	Resource int    `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Process is a command and the rights it runs with.
type Process struct {
	Args            []string          `json:"args"`
	Env             []string          `json:"env"`
	Cwd             string            `json:"cwd"`
	UID             uint32            `json:"uid"`
	GID             uint32            `json:"gid"`
	Groups          []uint32          `json:"groups,omitempty"`
	Umask           uint32            `json:"umask"`
	Capabilities    Capabilities      `json:"capabilities"`
	NoNewPrivileges bool              `json:"noNewPrivileges,omitempty"`
	Seccomp         []unix.SockFilter `json:"seccomp,omitempty"`
	SeccompFlags    uint              `json:"seccompFlags,omitempty"`
	Rlimits         []Rlimit          `json:"rlimits,omitempty"`
	OOMScoreAdj     *int              `json:"oomScoreAdj,omitempty"`
	AppArmor        string            `json:"appArmor,omitempty"`
	SELinux         string            `json:"selinux,omitempty"`
	// KeepKeyring leaves it the session keyring of its parent.
	KeepKeyring bool `json:"keepKeyring,omitempty"`
	TTY         bool `json:"tty,omitempty"`
	// Width and Height of the terminal, where known.
	Width  uint16 `json:"width,omitempty"`
	Height uint16 `json:"height,omitempty"`
	// Personality is what personality(2) takes, if it is to be changed.
	Personality *uint64 `json:"personality,omitempty"`
	// Scheduler, IOPriority and MemoryPolicy are what the system calls take, if they are to be changed.
	Scheduler    *unix.SchedAttr `json:"scheduler,omitempty"`
	IOPriority   *int            `json:"ioPriority,omitempty"`
	MemoryPolicy *MemoryPolicy   `json:"memoryPolicy,omitempty"`
	// Affinity are processors by number; none: all that the groups allow.
	Affinity []int `json:"affinity,omitempty"`
	// Keep is how many descriptors from 3 on the command gets.
	Keep int `json:"keep,omitempty"`
	// RootFD is the directory that a further command has as its root, where the mount namespace's is not the container's (0:
	// it is).
	RootFD int `json:"rootFD,omitempty"`
	// ConsoleFD is the socket that the entrance sends its terminal to (0: none).
	ConsoleFD int `json:"consoleFD,omitempty"`
}

// MemoryPolicy is what set_mempolicy(2) takes.
type MemoryPolicy struct {
	Mode  int      `json:"mode"`
	Nodes []uint64 `json:"nodes"` // a mask, lowest first
}
