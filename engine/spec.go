package engine

import (
	"net/netip"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine/health"
)

// Spec is what a user asks of a container. The zero value of a field leaves it to the image or to the default.
type Spec struct {
	// Image as the user wrote it.
	Image string `json:"image"`
	// Command follows the entrypoint; Entrypoint replaces the image's if not nil, and with it the image's command.
	Command    []string `json:"command,omitempty"`
	Entrypoint []string `json:"entrypoint"`

	Hostname   string            `json:"hostname,omitempty"`
	Domainname string            `json:"domainname,omitempty"`
	User       string            `json:"user,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"`
	Env        []string          `json:"env,omitempty"` // KEY=value
	Labels     map[string]string `json:"labels,omitempty"`
	// Annotations are kept for who reads them.
	Annotations map[string]string `json:"annotations,omitempty"`

	TTY        bool `json:"tty,omitempty"`
	Stdin      bool `json:"stdin,omitempty"`
	StdinOnce  bool `json:"stdinOnce,omitempty"`
	AutoRemove bool `json:"autoRemove,omitempty"`
	// Attached: made by a run in the foreground. IDFile is where its id was written to. Both are only told.
	Attached bool   `json:"attached,omitempty"`
	IDFile   string `json:"idFile,omitempty"`

	Mounts      []Mount  `json:"mounts,omitempty"`
	VolumesFrom []string `json:"volumesFrom,omitempty"` // CONTAINER[:ro|rw]
	ReadOnly    bool     `json:"readOnly,omitempty"`

	Privileged bool     `json:"privileged,omitempty"`
	CapAdd     []string `json:"capAdd,omitempty"`
	CapDrop    []string `json:"capDrop,omitempty"`
	// Seccomp is "unconfined" or a profile's path; the default profile if empty.
	Seccomp string `json:"seccomp,omitempty"`
	// AppArmor is "unconfined" or a profile's name.
	AppArmor string             `json:"appArmor,omitempty"`
	SELinux  *cri.SELinuxOption `json:"selinux,omitempty"`
	Devices  []Device           `json:"devices,omitempty"`

	// NetworkMode is "bridge" (also if empty), "none", "host", "container:ID" or a network's name.
	NetworkMode string `json:"networkMode,omitempty"`
	// Networks are those to join, by name, with what is asked of each; the first is NetworkMode's. Unconnected: it has been
	// taken out of its last one, and may be connected to another.
	Networks    []Endpoint `json:"networks,omitempty"`
	Unconnected bool       `json:"unconnected,omitempty"`

	Ports      []Port   `json:"ports,omitempty"`
	Exposed    []Port   `json:"exposed,omitempty"`
	PublishAll bool     `json:"publishAll,omitempty"`
	DNS        []string `json:"dns,omitempty"`
	DNSSearch  []string `json:"dnsSearch,omitempty"`
	DNSOptions []string `json:"dnsOptions,omitempty"`
	ExtraHosts []string `json:"extraHosts,omitempty"` // NAME:ADDRESS

	// PID, IPC, UTS, UserNS and Cgroup are docker's modes: "", "private", "host", "container:ID", "shareable".
	PID    string `json:"pid,omitempty"`
	IPC    string `json:"ipc,omitempty"`
	UTS    string `json:"uts,omitempty"`
	UserNS string `json:"userns,omitempty"`
	Cgroup string `json:"cgroup,omitempty"`
	// UserRange are the machine's ids for a user namespace of the container's own; nil: UserNS says.
	UserRange *UserRange `json:"userRange,omitempty"`

	Resources *cri.LinuxContainerResources `json:"resources,omitempty"`
	// LogDriver is "json-file" (also if empty), "local" or "none". The file is in CRI's format whatever its name.
	LogDriver string            `json:"logDriver,omitempty"`
	LogOpts   map[string]string `json:"logOpts,omitempty"`
	Health    *health.Check     `json:"health,omitempty"`

	// Extra is handed to the container engine as it is.
	Extra container.Extra `json:"extra"`
}

// UserRange are ids of the machine, the first of which is the container's root.
type UserRange struct {
	First uint32 `json:"first"`
	Count uint32 `json:"count"`
}

// The types of a Mount.
const (
	MountBind   = "bind"
	MountVolume = "volume"
)

// Mount is a directory or file of the host, or a volume, in the container. File systems in memory are Extra.Tmpfs.
type Mount struct {
	Type string `json:"type"`
	// Source is the host's path, or the volume's name; without a name it is a new volume of the container's own.
	Source string `json:"source,omitempty"`
	Target string `json:"target"`
	// ReadOnly; Recursive makes what is mounted below read-only too.
	ReadOnly  bool `json:"readOnly,omitempty"`
	Recursive bool `json:"recursive,omitempty"`
	// Relabel is "shared" or "private": files of the host get the label that containers may use, on machines with SELinux.
	Relabel string `json:"relabel,omitempty"`
	// Propagation is private (also if empty), rprivate, slave, rslave, shared or rshared.
	Propagation string `json:"propagation,omitempty"`
	// NoCopy leaves a new volume empty; CreateSource makes a host's directory that is missing.
	NoCopy       bool              `json:"noCopy,omitempty"`
	CreateSource bool              `json:"createSource,omitempty"`
	Driver       string            `json:"driver,omitempty"`
	Options      map[string]string `json:"options,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	// Long: told by --mount, not by --volume.
	Long bool `json:"long,omitempty"`
}

// Device is a device of the host.
type Device struct {
	Host        string `json:"host"`
	Container   string `json:"container"`
	Permissions string `json:"permissions"` // of rwm
}

// Endpoint is a container's place in a network.
type Endpoint struct {
	Network string     `json:"network"`
	Aliases []string   `json:"aliases,omitempty"`
	IP      netip.Addr `json:"ip,omitzero"`
	IP6     netip.Addr `json:"ip6,omitzero"`
	MAC     string     `json:"mac,omitempty"`
}

// Port is a container's port, and where on the host it is to be reached.
type Port struct {
	Protocol  string     `json:"protocol"` // tcp, udp, sctp
	Container uint16     `json:"container"`
	HostIP    netip.Addr `json:"hostIP,omitzero"`
	// Host is 0 for one that is free, chosen at each start.
	Host uint16 `json:"host,omitempty"`
	// Last is the end of the range to choose from, where the user gave one for a single port.
	Last uint16 `json:"last,omitempty"`
}
