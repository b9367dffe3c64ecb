package confine

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	compiler "dhow/internal/seccomp"
)

// Filter compiles the seccomp profile: the runtime's default, which is also that of who asks for none; a file of the
// administrator's; or nothing, for who is privileged or unconfined.
func Filter(s *cri.LinuxContainerSecurityContext, caps uint64) ([]unix.SockFilter, error) {
	profile := s.GetSeccomp()
	if s.GetPrivileged() || profile.GetProfileType() == cri.SecurityProfile_Unconfined {
		return nil, nil
	}
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: CapabilityNames(caps)}}}
	var loaded *specs.LinuxSeccomp
	var err error
	if profile.GetProfileType() == cri.SecurityProfile_Localhost {
		loaded, err = localProfile(profile.LocalhostRef, spec)
	} else {
		loaded, err = seccomp.GetDefaultProfile(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	return compiler.Compile(loaded)
}

func localProfile(path string, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("%s is not JSON", path)
	}
	return seccomp.LoadProfile(string(data), spec)
}
