package shim

// The protocol: a client connects to the shim's SOCK_SEQPACKET socket and sends one request, a JSON message with
// the descriptors it is about; the shim answers with one or more replies on the same connection. Version 1 of it
// is all there is; a shim that is asked for another operation than it knows says so by name.

// Operations of a request.
const (
	OpPing   = "ping"   // reply: Pid
	OpStart  = "start"  // Spec: path of a Container; a descriptor for each namespace that it joins, then for each of OwnNamespaces if it has an ExitCommand; reply: Pid
	OpSignal = "signal" // Container, Signal
	OpStop   = "stop"   // Container, Signal; and it is not started again
	OpExec   = "exec"   // Container, Process, Input, Output, Errors; a descriptor for each; replies: Pid, then Exit
	OpAttach = "attach" // Container, Input, Output, Errors; a descriptor for each; replies: one at once, one at the end
	OpFirst  = "first"  // Container; reply: a pidfd of its first process
	OpUpdate = "update" // Container, Restart
	OpEarly  = "early"  // attach before the start; replies: one when the client is put down, one at the end
	OpReopen = "reopen" // Container: open its log anew
	OpDial   = "dial"   // Port; reply: a descriptor connected to it on the pod's loopback
	OpWatch  = "watch"  // replies: Changed, one for each container that starts or ends
	OpQuit   = "quit"   // kill what runs and end
	// OpResolve answers for names: Hosts, Servers, Machine; a descriptor of the machine's network namespace; reply: Port. The
	// container asks at resolver.Address.
	OpResolve = "resolve"
	OpResize  = "resize" // on the connection of exec or attach: Width, Height
)

// Request is what a client sends.
type Request struct {
	Op        string   `json:"op"`
	Container string   `json:"container,omitempty"`
	Spec      string   `json:"spec,omitempty"`
	Signal    int      `json:"signal,omitempty"`
	Process   *Process `json:"process,omitempty"`
	Input     bool     `json:"input,omitempty"`
	Output    bool     `json:"output,omitempty"`
	Errors    bool     `json:"errors,omitempty"`
	Port      int      `json:"port,omitempty"`
	Restart   *Restart `json:"restart,omitempty"`
	Width     uint16   `json:"width,omitempty"`
	Height    uint16   `json:"height,omitempty"`
	// Hosts is a hosts file on the machine, Servers are the addresses of those who know other names. Machine are more of them,
	// which the machine reaches and the container does not.
	Hosts   string   `json:"hosts,omitempty"`
	Servers []string `json:"servers,omitempty"`
	Machine []string `json:"machine,omitempty"`
}

// Reply is what the shim answers.
type Reply struct {
	Error string `json:"error,omitempty"`
	// Code goes with an Error about a command that could not be started: 126 or 127.
	Code int   `json:"code,omitempty"`
	Pid  int   `json:"pid,omitempty"`
	Exit *Exit `json:"exit,omitempty"`
	// Changed is a container whose records have changed.
	Changed string `json:"changed,omitempty"`
	Port    int    `json:"port,omitempty"`
}
