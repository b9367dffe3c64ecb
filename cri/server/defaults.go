package server

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// On the wire what is absent has a meaning of its own, which differs from what our engine does for callers in Go:
// namespaces are shared in the pod, and there is no seccomp filter. The rules that CRI makes for runtimes are here, too.

// completeSandbox makes what a sandbox's configuration leaves out explicit, and checks it.
func completeSandbox(c *cri.PodSandboxConfig) error {
	if c.Linux == nil {
		c.Linux = &cri.LinuxPodSandboxConfig{}
	}
	if c.Linux.SecurityContext == nil {
		c.Linux.SecurityContext = &cri.LinuxSandboxSecurityContext{}
	}
	s := c.Linux.SecurityContext
	if s.NamespaceOptions == nil {
		s.NamespaceOptions = &cri.NamespaceOption{}
	}
	if s.RunAsGroup != nil && s.RunAsUser == nil {
		return groupAlone("linux.security_context")
	}
	switch u := s.NamespaceOptions.UsernsOptions; u.GetMode() {
	case cri.NamespaceMode_POD, cri.NamespaceMode_NODE:
	default:
		return status.Errorf(codes.InvalidArgument, "linux.security_context.namespace_options.userns_options.mode is POD or NODE, not %s", u.Mode)
	}
	return nil
}

func groupAlone(path string) error {
	return status.Errorf(codes.InvalidArgument, "%s.run_as_group needs a user: set run_as_user, too", path)
}

// completeContainer makes what a container's configuration leaves out explicit, and checks it.
func completeContainer(c *cri.ContainerConfig, sandbox *cri.PodSandboxConfig) error {
	if c.Linux == nil {
		c.Linux = &cri.LinuxContainerConfig{}
	}
	if c.Linux.SecurityContext == nil {
		c.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{}
	}
	s := c.Linux.SecurityContext
	if s.NamespaceOptions == nil {
		s.NamespaceOptions = &cri.NamespaceOption{Pid: sandbox.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid()}
	}
	if s.Seccomp == nil {
		s.Seccomp = oldProfile(s.SeccompProfilePath) // older node agents set it
	}
	if s.RunAsGroup != nil && s.RunAsUser == nil && s.RunAsUsername == "" {
		return groupAlone("linux.security_context")
	}
	return nil
}

// oldProfile reads the form in which profiles were named before.
func oldProfile(path string) *cri.SecurityProfile {
	file, local := strings.CutPrefix(path, "localhost/")
	switch {
	case local:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: file}
	case path == "runtime/default", path == "docker/default":
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
	default:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
	}
}

func checkMount(m *cri.Mount) error {
	switch {
	case !m.RecursiveReadOnly:
		return nil
	case !m.Readonly:
		return status.Errorf(codes.InvalidArgument, "mount on %s: recursive_read_only needs readonly", m.ContainerPath)
	case m.Propagation != cri.MountPropagation_PROPAGATION_PRIVATE:
		return status.Errorf(codes.InvalidArgument, "mount on %s: recursive_read_only needs private propagation, not %s", m.ContainerPath, m.Propagation)
	}
	return nil
}
