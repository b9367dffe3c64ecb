package server

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestWhatIsAbsentOnTheWireIsMadeExplicit(t *testing.T) {
	pod := &cri.PodSandboxConfig{}
	if err := completeSandbox(pod); err != nil {
		t.Fatal(err)
	}
	c := &cri.ContainerConfig{}
	if err := completeContainer(c, pod); err != nil {
		t.Fatal(err)
	}
	if o := c.Linux.SecurityContext.NamespaceOptions; o.GetPid() != cri.NamespaceMode_POD || o.GetIpc() != cri.NamespaceMode_POD {
		t.Errorf("namespaces are %v", o)
	}
	if p := c.Linux.SecurityContext.Seccomp; p.GetProfileType() != cri.SecurityProfile_Unconfined {
		t.Errorf("seccomp is %v", p)
	}
}

func TestOlderNamesOfProfilesAreRead(t *testing.T) {
	for path, want := range map[string]cri.SecurityProfile_ProfileType{
		"": cri.SecurityProfile_Unconfined, "unconfined": cri.SecurityProfile_Unconfined, "runtime/default": cri.SecurityProfile_RuntimeDefault,
		"docker/default": cri.SecurityProfile_RuntimeDefault, "localhost//etc/x.json": cri.SecurityProfile_Localhost,
	} {
		if p := oldProfile(path); p.ProfileType != want || want == cri.SecurityProfile_Localhost && p.LocalhostRef != "/etc/x.json" {
			t.Errorf("%q is %v", path, p)
		}
	}
}

func TestWhatCRIForbidsIsRefused(t *testing.T) {
	group := &cri.Int64Value{Value: 5}
	users := func(mode cri.NamespaceMode) *cri.PodSandboxConfig {
		return &cri.PodSandboxConfig{Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{UsernsOptions: &cri.UserNamespace{Mode: mode}},
		}}}
	}
	for name, err := range map[string]error{
		"a pod's group without a user": completeSandbox(&cri.PodSandboxConfig{Linux: &cri.LinuxPodSandboxConfig{
			SecurityContext: &cri.LinuxSandboxSecurityContext{RunAsGroup: group},
		}}),
		"a container's group without a user": completeContainer(&cri.ContainerConfig{Linux: &cri.LinuxContainerConfig{
			SecurityContext: &cri.LinuxContainerSecurityContext{RunAsGroup: group},
		}}, nil),
		"recursive without read-only": checkMount(&cri.Mount{RecursiveReadOnly: true}),
		"recursive that propagates": checkMount(&cri.Mount{
			RecursiveReadOnly: true, Readonly: true, Propagation: cri.MountPropagation_PROPAGATION_BIDIRECTIONAL,
		}),
		"users of a container": completeSandbox(users(cri.NamespaceMode_CONTAINER)),
		"users of a target":    completeSandbox(users(cri.NamespaceMode_TARGET)),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkMount(&cri.Mount{RecursiveReadOnly: true, Readonly: true}); err != nil {
		t.Errorf("a good mount: %v", err)
	}
}
