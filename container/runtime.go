// Package container runs containers by Linux' own means: namespaces, cgroups, overlayfs, seccomp. One shim
// process per pod holds its namespaces and survives the daemon; Engine is the daemon's side. It neither
// pulls images nor makes network links: it is given both.
package container

import (
	"context"
	"io"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Runtime is the contract between a node agent and whatever runs its containers. It is CRI v1
// (k8s.io/cri-api) with two liberties: streams are passed as streams, not as URLs, and absence is told by
// an error that ErrNotFound matches. Engine implements it in-process; a CRI client can implement it for
// other runtimes; containertest holds the suite that every implementation passes.
//
// All methods may be called concurrently. Stop and Remove are idempotent: what is gone already is no error.
type Runtime interface {
	// RunPodSandbox starts the pod's shim with its namespaces, cgroup and network and returns its id.
	// The sandbox is READY when it returns. Nothing stays behind on error.
	RunPodSandbox(ctx context.Context, config *cri.PodSandboxConfig, handler string) (id string, err error)
	// StopPodSandbox kills what still runs in the sandbox, releases its network and makes it NOTREADY.
	StopPodSandbox(ctx context.Context, id string) error
	// RemovePodSandbox stops the sandbox where needed and forgets it and its containers.
	RemovePodSandbox(ctx context.Context, id string) error
	PodSandboxStatus(ctx context.Context, id string) (*cri.PodSandboxStatus, error)
	ListPodSandbox(ctx context.Context, filter *cri.PodSandboxFilter) ([]*cri.PodSandbox, error)

	// CreateContainer prepares root, mounts and cgroup; nothing runs yet. config.Image.Image is an image id
	// ("sha256:…") or a reference that the image store resolves without pulling.
	CreateContainer(ctx context.Context, sandboxID string, config *cri.ContainerConfig, sandbox *cri.PodSandboxConfig) (id string, err error)
	// StartContainer returns once the command has been exec'd. A command that cannot be exec'd fails here,
	// with exit code 127 (not found) or 126 (not executable) in the status, reason StartError.
	StartContainer(ctx context.Context, id string) error
	// StopContainer sends the image's stop signal (SIGTERM by default), waits up to timeout, then kills.
	StopContainer(ctx context.Context, id string, timeout time.Duration) error
	RemoveContainer(ctx context.Context, id string) error
	// ContainerStatus: after an exit, ExitCode, FinishedAt and Reason (Completed, Error, OOMKilled,
	// StartError) are set.
	ContainerStatus(ctx context.Context, id string) (*cri.ContainerStatus, error)
	ListContainers(ctx context.Context, filter *cri.ContainerFilter) ([]*cri.Container, error)
	UpdateContainerResources(ctx context.Context, id string, resources *cri.ContainerResources) error
	// ReopenContainerLog makes the shim open LogPath anew, after the caller has moved the old file away.
	ReopenContainerLog(ctx context.Context, id string) error

	// Exec runs a command in a running container and blocks until it has ended and its output is drained.
	// Ending ctx kills the command.
	Exec(ctx context.Context, id string, opts ExecOptions) (exitCode int, err error)
	// Attach connects to the container's own streams until the container ends or ctx does. When it returns because of
	// the end, ContainerStatus knows of that.
	Attach(ctx context.Context, id string, streams Streams) error
	// PortForward dials a port on the sandbox's loopback and copies both ways until either side ends.
	PortForward(ctx context.Context, sandboxID string, port int32, conn io.ReadWriteCloser) error

	ContainerStats(ctx context.Context, id string) (*cri.ContainerStats, error)
	ListContainerStats(ctx context.Context, filter *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error)
	PodSandboxStats(ctx context.Context, id string) (*cri.PodSandboxStats, error)
	ListPodSandboxStats(ctx context.Context, filter *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error)

	// Events delivers what happens from now on (created, started, stopped, deleted) until ctx ends; then the
	// channel is closed. A slow reader loses events and gets the channel closed early: list again, then
	// call Events again.
	Events(ctx context.Context) <-chan *cri.ContainerEventResponse
	// Status has the conditions RuntimeReady and NetworkReady, the handlers that RunPodSandbox takes with what their
	// containers can have, and what the runtime can for all of them.
	Status(ctx context.Context) (*cri.StatusResponse, error)
	Version(ctx context.Context) (*cri.VersionResponse, error)
}

// Streams are the ends that a caller holds. Nil means not attached. With TTY only Stdin and Stdout are used.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	// Resize delivers terminal sizes; the first is applied before the command starts. May be nil.
	Resize <-chan TerminalSize
}

// TerminalSize in character cells.
type TerminalSize struct{ Width, Height uint16 }

// ExecOptions is a command to run beside a container's own.
type ExecOptions struct {
	Streams
	Command []string
	// Env is added to the container's environment, "KEY=value".
	Env []string
	// User (USER[:GROUP]) and WorkingDir in place of the container's own, if not empty; Privileged gives it all
	// capabilities. CRI has no words for these: other runtimes than Engine refuse them.
	User, WorkingDir string
	Privileged       bool
}
