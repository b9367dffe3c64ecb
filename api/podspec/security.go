package podspec

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

func isTrue(p *bool) bool { return p != nil && *p }

// securityOf is a container's security context, empty when there is none.
func securityOf(ctr *corev1.Container) corev1.SecurityContext {
	if ctr.SecurityContext == nil {
		return corev1.SecurityContext{}
	}
	return *ctr.SecurityContext
}

// hostUsers says whether the pod shares the host's user namespace.
func (c *checker) hostUsers() bool { return c.spec.HostUsers == nil || *c.spec.HostUsers }

// podSecurity checks the pod's security context, and the host namespaces at the specification itself.
func (c *checker) podSecurity(spec, at *field.Path) {
	c.userNamespace(spec)
	s := c.spec.SecurityContext
	if s == nil {
		return
	}
	c.userID(at.Child("runAsUser"), s.RunAsUser)
	c.groupID(at.Child("fsGroup"), s.FSGroup)
	c.groupID(at.Child("runAsGroup"), s.RunAsGroup)
	for i := range s.SupplementalGroups {
		c.groupID(at.Child("supplementalGroups").Index(i), &s.SupplementalGroups[i])
	}
	if isTrue(c.spec.ShareProcessNamespace) && c.spec.HostPID {
		c.Invalid(at.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled")
	}
	c.sysctls(at.Child("sysctls"), s.Sysctls)
	check.KnownPtr(&c.List, at.Child("fsGroupChangePolicy"), s.FSGroupChangePolicy,
		corev1.FSGroupChangeOnRootMismatch, corev1.FSGroupChangeAlways)
	c.seccomp(at.Child("seccompProfile"), s.SeccompProfile)
	c.appArmor(at.Child("appArmorProfile"), s.AppArmorProfile)
	c.windowsOptions(at.Child("windowsOptions"), s.WindowsOptions)
	check.KnownPtr(&c.List, at.Child("supplementalGroupsPolicy"), s.SupplementalGroupsPolicy,
		corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)
	check.KnownPtr(&c.List, at.Child("seLinuxChangePolicy"), s.SELinuxChangePolicy,
		corev1.SELinuxChangePolicyRecursive, corev1.SELinuxChangePolicyMountOption)
}

func (c *checker) userID(at *field.Path, id *int64) {
	if id != nil {
		c.Each(at, *id, validation.IsValidUserID(*id))
	}
}

func (c *checker) groupID(at *field.Path, id *int64) {
	if id != nil {
		c.Each(at, *id, validation.IsValidGroupID(*id))
	}
}

// userNamespace: a pod with users of its own cannot have the host's namespaces, nor block devices.
func (c *checker) userNamespace(at *field.Path) {
	if c.hostUsers() {
		return
	}
	const detail = "when `hostUsers` is false"
	if c.spec.HostNetwork {
		c.Forbidden(at.Child("hostNetwork"), detail)
	}
	if c.spec.HostPID {
		c.Forbidden(at.Child("HostPID"), detail)
	}
	if c.spec.HostIPC {
		c.Forbidden(at.Child("HostIPC"), detail)
	}
	for ctr := range ContainersAt(c.spec, at) {
		if len(ctr.VolumeDevices) > 0 {
			c.Forbidden(ctr.At.Child("volumeDevices"), detail)
		}
	}
}

const sysctlPattern = `^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`

var sysctlName = regexp.MustCompile(sysctlPattern)

func (c *checker) sysctls(at *field.Path, sysctls []corev1.Sysctl) {
	seen := sets.Set[string]{}
	for i, s := range sysctls {
		here := at.Index(i).Child("name")
		switch {
		case s.Name == "":
			c.Required(here, "")
		case len(s.Name) > 253 || !sysctlName.MatchString(s.Name):
			c.Invalid(here, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", 253, sysctlPattern))
		case seen.Has(s.Name):
			c.Duplicate(here, s.Name)
		}
		seen.Insert(s.Name)
		switch dotted := strings.ReplaceAll(s.Name, "/", "."); {
		case c.spec.HostNetwork && strings.HasPrefix(dotted, "net."):
			c.Invalid(here, s.Name, "may not be specified when 'hostNetwork' is true")
		case c.spec.HostIPC && inIPCNamespace(dotted):
			c.Invalid(here, s.Name, "may not be specified when 'hostIPC' is true")
		}
	}
}

func inIPCNamespace(sysctl string) bool {
	return sysctl == "kernel.sem" || strings.HasPrefix(sysctl, "kernel.shm") ||
		strings.HasPrefix(sysctl, "kernel.msg") || strings.HasPrefix(sysctl, "fs.mqueue.")
}

func (c *checker) seccomp(at *field.Path, p *corev1.SeccompProfile) {
	if p == nil {
		return
	}
	if p.Type == "" {
		c.Required(at.Child("type"), "type is required when seccompProfile is set")
	} else {
		check.Known(&c.List, at.Child("type"), p.Type, corev1.SeccompProfileTypeLocalhost,
			corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	}
	local := at.Child("localhostProfile")
	switch {
	case p.Type != corev1.SeccompProfileTypeLocalhost:
		if p.LocalhostProfile != nil {
			c.Invalid(local, p, "can only be set when seccomp type is Localhost")
		}
	case p.LocalhostProfile == nil:
		c.Required(local, "must be set when seccomp type is Localhost")
	default:
		c.Descending(local, *p.LocalhostProfile)
	}
}

func (c *checker) appArmor(at *field.Path, p *corev1.AppArmorProfile) {
	if p == nil {
		return
	}
	local := at.Child("localhostProfile")
	switch p.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		c.appArmorFile(local, p.LocalhostProfile)
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if p.LocalhostProfile != nil {
			c.Invalid(local, p.LocalhostProfile, "can only be set when AppArmor type is Localhost")
		}
	case "":
		c.Required(at.Child("type"), "type is required when appArmorProfile is set")
	default:
		check.Known(&c.List, at.Child("type"), p.Type, corev1.AppArmorProfileTypeLocalhost,
			corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
	}
}

func (c *checker) appArmorFile(at *field.Path, name *string) {
	const longest = 4095
	switch {
	case name == nil || *name == "":
		c.Required(at, "must be set when AppArmor type is Localhost")
	case strings.TrimSpace(*name) != *name:
		c.Invalid(at, *name, "must not be padded with whitespace")
	case len(*name) > longest:
		c.Add(field.TooLong(at, "", longest))
	}
}

func (c *checker) containerSecurity(at *field.Path, s *corev1.SecurityContext) {
	if s == nil {
		return
	}
	c.userID(at.Child("runAsUser"), s.RunAsUser)
	c.groupID(at.Child("runAsGroup"), s.RunAsGroup)
	if s.ProcMount != nil {
		check.Known(&c.List, at.Child("procMount"), *s.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)
		if *s.ProcMount == corev1.UnmaskedProcMount && c.hostUsers() {
			c.Invalid(at.Child("procMount"), s.ProcMount, "`hostUsers` must be false to use `Unmasked`")
		}
	}
	c.seccomp(at.Child("seccompProfile"), s.SeccompProfile)
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		c.escalation(at, s)
	}
	c.windowsOptions(at.Child("windowsOptions"), s.WindowsOptions)
	c.appArmor(at.Child("appArmorProfile"), s.AppArmorProfile)
}

// escalation: what already has all privileges cannot be kept from gaining them.
func (c *checker) escalation(at *field.Path, s *corev1.SecurityContext) {
	if isTrue(s.Privileged) {
		c.Invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
	}
	if s.Capabilities == nil {
		return
	}
	for _, capability := range s.Capabilities.Add {
		if capability == "CAP_SYS_ADMIN" {
			c.Invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
		}
	}
}
