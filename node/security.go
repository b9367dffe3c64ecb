package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// securityContext merges what the container asks for over what its pod does.
func (n *Node) securityContext(pod *corev1.Pod, c *corev1.Container) (*cri.LinuxContainerSecurityContext, error) {
	own, common := c.SecurityContext, pod.Spec.SecurityContext
	if own == nil {
		own = &corev1.SecurityContext{}
	}
	if common == nil {
		common = &corev1.PodSecurityContext{}
	}
	s := &cri.LinuxContainerSecurityContext{
		NamespaceOptions: namespaces(pod), Privileged: isTrue(own.Privileged), ReadonlyRootfs: isTrue(own.ReadOnlyRootFilesystem),
		NoNewPrivs: own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation,
		RunAsUser:  int64Value(own.RunAsUser, common.RunAsUser), RunAsGroup: int64Value(own.RunAsGroup, common.RunAsGroup),
		SupplementalGroups: common.SupplementalGroups,
	}
	if p := common.SupplementalGroupsPolicy; p != nil && *p == corev1.SupplementalGroupsPolicyStrict {
		s.SupplementalGroupsPolicy = cri.SupplementalGroupsPolicy_Strict
	}
	if common.FSGroup != nil {
		s.SupplementalGroups = append(s.SupplementalGroups[:len(s.SupplementalGroups):len(s.SupplementalGroups)], *common.FSGroup)
	}
	if own.Capabilities != nil {
		s.Capabilities = &cri.Capability{}
		for _, name := range own.Capabilities.Add {
			s.Capabilities.AddCapabilities = append(s.Capabilities.AddCapabilities, string(name))
		}
		for _, name := range own.Capabilities.Drop {
			s.Capabilities.DropCapabilities = append(s.Capabilities.DropCapabilities, string(name))
		}
	}
	profile := own.SeccompProfile
	if profile == nil {
		profile = common.SeccompProfile
	}
	var err error
	if s.Seccomp, err = n.seccomp(profile); err != nil {
		return nil, err
	}
	s.SelinuxOptions = seLinux(own.SELinuxOptions, common.SELinuxOptions)
	confined := own.AppArmorProfile
	if confined == nil {
		confined = common.AppArmorProfile
	}
	return s, appArmor(confined, s)
}

// appArmor fills in the profile that is asked for, in both of CRI's fields. Where nobody asks it is the runtime's affair.
func appArmor(p *corev1.AppArmorProfile, s *cri.LinuxContainerSecurityContext) error {
	switch {
	case p == nil:
	case p.Type == corev1.AppArmorProfileTypeUnconfined:
		s.ApparmorProfile = "unconfined"
		s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
	case p.Type == corev1.AppArmorProfileTypeLocalhost && p.LocalhostProfile == nil:
		return configError{errors.New("localhostProfile must name an AppArmor profile that is loaded")}
	case p.Type == corev1.AppArmorProfileTypeLocalhost:
		s.ApparmorProfile = "localhost/" + *p.LocalhostProfile
		s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: *p.LocalhostProfile}
	default:
		s.ApparmorProfile = "runtime/default"
		s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
	}
	return nil
}

// seLinux is the context that is asked for. Kernels without SELinux have no use for it, and pods that name one are
// meant to run there, too.
func seLinux(own, common *corev1.SELinuxOptions) *cri.SELinuxOption {
	if own == nil {
		own = common
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil || own == nil {
		return nil
	}
	return &cri.SELinuxOption{User: own.User, Role: own.Role, Type: own.Type, Level: own.Level}
}

func int64Value(values ...*int64) *cri.Int64Value {
	for _, v := range values {
		if v != nil {
			return &cri.Int64Value{Value: *v}
		}
	}
	return nil
}

// seccomp is the runtime's default profile where the pod names none: secure unless said otherwise.
func (n *Node) seccomp(p *corev1.SeccompProfile) (*cri.SecurityProfile, error) {
	if p == nil {
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}, nil
	}
	switch p.Type {
	case corev1.SeccompProfileTypeUnconfined:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}, nil
	case corev1.SeccompProfileTypeLocalhost:
		if p.LocalhostProfile == nil || !filepath.IsLocal(*p.LocalhostProfile) {
			return nil, configError{errors.New("localhostProfile must be a path below the node's seccomp directory")}
		}
		return &cri.SecurityProfile{
			ProfileType:  cri.SecurityProfile_Localhost,
			LocalhostRef: filepath.Join(filepath.Dir(n.config.Volumes), "seccomp", *p.LocalhostProfile),
		}, nil
	default:
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}, nil
	}
}

// checkNonRoot refuses to run as root where the pod says so.
func checkNonRoot(pod *corev1.Pod, c *corev1.Container, image *cri.Image) error {
	own, common := c.SecurityContext, pod.Spec.SecurityContext
	var must *bool
	var uid *int64
	if common != nil {
		must, uid = common.RunAsNonRoot, common.RunAsUser
	}
	if own != nil {
		if own.RunAsNonRoot != nil {
			must = own.RunAsNonRoot
		}
		if own.RunAsUser != nil {
			uid = own.RunAsUser
		}
	}
	switch {
	case !isTrue(must):
		return nil
	case uid != nil && *uid == 0:
		return configError{errors.New("container's runAsUser breaks non-root policy")}
	case uid != nil:
		return nil
	case image.GetUid() != nil && image.Uid.Value == 0, image.GetUid() == nil && image.GetUsername() == "":
		return configError{errors.New("container has runAsNonRoot and image will run as root")}
	case image.GetUid() == nil:
		return configError{fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root", image.Username)}
	}
	return nil
}
