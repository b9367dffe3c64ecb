package cli

import (
	"cmp"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine"
)

// podContainer is a pod's container as the engine would have written it down, by its status alone.
func podContainer(s *cri.ContainerStatus) *engine.Container {
	return &engine.Container{
		ID: s.Id, Name: podContainerName(s.Labels, s.Metadata), Created: time.Unix(0, s.CreatedAt), ImageID: s.ImageId,
		Spec: engine.Spec{Image: imageOf(s), Annotations: s.Annotations, Resources: s.GetResources().GetLinux()},
		Run:  engine.Resolved{Labels: s.Labels}, Mounts: mountPoints(s.Mounts), State: stateOf(s),
	}
}

// addDetails adds what the status does not tell.
func addDetails(c *engine.Container, d *container.Details) {
	security := d.Config.GetLinux().GetSecurityContext()
	c.Spec.Hostname, c.Spec.NetworkMode, c.Spec.Extra = hostnameIn(d.Env), "container:"+d.SandboxID, d.Extra
	c.Spec.TTY, c.Spec.Stdin, c.Spec.StdinOnce = d.Config.GetTty(), d.Config.GetStdin(), d.Config.GetStdinOnce()
	c.Spec.ReadOnly, c.Spec.Privileged = security.GetReadonlyRootfs(), security.GetPrivileged()
	c.Spec.CapAdd, c.Spec.CapDrop = security.GetCapabilities().GetAddCapabilities(), security.GetCapabilities().GetDropCapabilities()
	c.Spec.Extra.NoNewPrivileges = d.Extra.NoNewPrivileges || security.GetNoNewPrivs()
	c.Run.Command, c.Run.Env, c.Run.WorkingDir, c.Run.User = d.Args, d.Env, d.Cwd, d.User
	c.State.Sandbox, c.State.Restarts, c.State.OOM = d.SandboxID, d.Restarts, d.Exit != nil && d.Exit.OOM
	if c.State.Paused = d.Paused; d.Paused {
		c.State.Status = engine.Paused
	}
}

// imageOf is the image as the pod calls it.
func imageOf(s *cri.ContainerStatus) string {
	return cmp.Or(s.GetImage().GetUserSpecifiedImage(), short(strings.TrimPrefix(s.GetImage().GetImage(), "sha256:")))
}

func hostnameIn(env []string) string {
	for _, e := range env {
		if name, ok := strings.CutPrefix(e, "HOSTNAME="); ok {
			return name
		}
	}
	return ""
}

func mountPoints(mounts []*cri.Mount) []engine.MountPoint {
	var all []engine.MountPoint
	for _, m := range mounts {
		propagation := map[cri.MountPropagation]string{
			cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER: "rslave", cri.MountPropagation_PROPAGATION_BIDIRECTIONAL: "rshared",
		}[m.Propagation]
		all = append(all, engine.MountPoint{
			Mount: engine.Mount{Type: engine.MountBind, Source: m.HostPath, Target: m.ContainerPath, ReadOnly: m.Readonly, Recursive: m.RecursiveReadOnly, Propagation: propagation},
			Path:  m.HostPath,
		})
	}
	return all
}

func stateOf(s *cri.ContainerStatus) engine.State {
	state := engine.State{Status: engine.Created, Runtime: s.Id, Error: s.Message}
	if s.StartedAt > 0 {
		state.Started = time.Unix(0, s.StartedAt)
	}
	switch s.State {
	case cri.ContainerState_CONTAINER_EXITED:
		state.Status, state.Finished, state.ExitCode = engine.Exited, time.Unix(0, s.FinishedAt), int(s.ExitCode)
	case cri.ContainerState_CONTAINER_RUNNING:
		state.Status = engine.Running
	}
	return state
}
