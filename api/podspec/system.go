package podspec

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// operatingSystem checks spec.os and what it forbids.
func (c *checker) operatingSystem(at *field.Path) {
	c.hostProcess(at)
	os := c.spec.OS
	if os == nil {
		return
	}
	switch os.Name {
	case "":
		c.Required(at.Child("os", "name"), "")
	case corev1.Linux:
		c.onlyLinux(at)
	case corev1.Windows:
		c.onlyWindows(at)
	default:
		check.Known(&c.List, at.Child("os"), os.Name, corev1.Linux, corev1.Windows)
	}
}

func (c *checker) onlyLinux(at *field.Path) {
	const detail = "windows options cannot be set for a linux pod"
	if s := c.spec.SecurityContext; s != nil && s.WindowsOptions != nil {
		c.Forbidden(at.Child("securityContext", "windowsOptions"), detail)
	}
	for ctr := range ContainersAt(c.spec, at) {
		if securityOf(ctr.Container).WindowsOptions != nil {
			c.Forbidden(ctr.At.Child("securityContext", "windowsOptions"), detail)
		}
	}
}

const notOnWindows = "cannot be set for a windows pod"

func (c *checker) onlyWindows(at *field.Path) {
	for name, set := range map[string]bool{
		"hostUsers": c.spec.HostUsers != nil, "hostPID": c.spec.HostPID, "hostIPC": c.spec.HostIPC,
		"shareProcessNamespace": c.spec.ShareProcessNamespace != nil,
	} {
		if set {
			c.Forbidden(at.Child(name), notOnWindows)
		}
	}
	if s := c.spec.SecurityContext; s != nil {
		c.linuxFields(at.Child("securityContext"), reflect.ValueOf(*s))
	}
	for ctr := range ContainersAt(c.spec, at) {
		if ctr.SecurityContext != nil {
			c.linuxFields(ctr.At.Child("securityContext"), reflect.ValueOf(*ctr.SecurityContext))
		}
	}
}

// linuxFields forbids all of a security context but what Windows knows too.
func (c *checker) linuxFields(at *field.Path, security reflect.Value) {
	for i := range security.NumField() {
		f := security.Type().Field(i)
		if f.Name == "WindowsOptions" || f.Name == "RunAsNonRoot" || security.Field(i).IsZero() {
			continue
		}
		c.Forbidden(at.Child(check.JSONName(f)), notOnWindows)
	}
}

// hostProcess: containers in the host's process space are all or none of a Windows pod.
func (c *checker) hostProcess(at *field.Path) {
	var pod *bool
	if s := c.spec.SecurityContext; s != nil && s.WindowsOptions != nil {
		pod = s.WindowsOptions.HostProcess
	}
	all, host := 0, 0
	for ctr := range ContainersAt(c.spec, at) {
		all++
		own := pod
		if w := securityOf(ctr.Container).WindowsOptions; w != nil && w.HostProcess != nil {
			own = w.HostProcess
			if pod != nil && *pod != *own {
				c.Invalid(ctr.At.Child("securityContext", "windowsOptions", "hostProcess"), *own,
					fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *pod))
			}
		}
		if isTrue(own) {
			host++
		}
	}
	if host == 0 {
		return
	}
	if host != all {
		c.Invalid(at, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers")
	}
	if !c.spec.HostNetwork {
		c.Invalid(at.Child("hostNetwork"), false, "hostNetwork must be true if pod contains any hostProcess containers")
	}
}

const maxCredentialSpecKiB = 64

func (c *checker) windowsOptions(at *field.Path, w *corev1.WindowsSecurityContextOptions) {
	if w == nil {
		return
	}
	if w.GMSACredentialSpecName != nil {
		c.Subdomain(at.Child("gmsaCredentialSpecName"), *w.GMSACredentialSpecName)
	}
	if s, here := w.GMSACredentialSpec, at.Child("gmsaCredentialSpec"); s != nil {
		switch {
		case *s == "":
			c.Invalid(here, *s, "gmsaCredentialSpec cannot be an empty string")
		case len(*s) > maxCredentialSpecKiB*1024:
			c.Invalid(here, *s, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", maxCredentialSpecKiB))
		}
	}
	if w.RunAsUserName != nil {
		c.windowsUser(at.Child("runAsUserName"), *w.RunAsUserName)
	}
}

var (
	controlCharacters = regexp.MustCompile(`[[:cntrl:]]+`)
	netBIOSDomain     = regexp.MustCompile(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	dnsDomain         = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	dotsAndSpaces     = regexp.MustCompile(`^[\. ]+$`)
	userCharacters    = regexp.MustCompile(`["/\\:;|=,\+\*\?<>@\[\]]`)
)

// windowsUser checks DOMAIN\User.
func (c *checker) windowsUser(at *field.Path, name string) {
	bad := func(detail string) { c.Invalid(at, name, "runAsUserName"+detail) }
	switch {
	case name == "":
		bad(" cannot be an empty string")
		return
	case controlCharacters.MatchString(name):
		bad(" cannot contain control characters")
		return
	case strings.Count(name, `\`) > 1:
		bad(" cannot contain more than one backslash")
		return
	}
	domain, user, inDomain := strings.Cut(name, `\`)
	if !inDomain {
		domain, user = "", name
	}
	if len(domain) >= 256 {
		bad("'s Domain length must be under 256 characters")
	}
	if inDomain && !netBIOSDomain.MatchString(domain) && !dnsDomain.MatchString(domain) {
		bad("'s Domain doesn't match the NetBios nor the DNS format")
	}
	switch {
	case user == "":
		bad("'s User cannot be empty")
	case len(user) > 104:
		bad("'s User length must not be longer than 104 characters")
	}
	if dotsAndSpaces.MatchString(user) {
		bad("'s User cannot contain only periods or spaces")
	}
	if userCharacters.MatchString(user) {
		bad(`'s User cannot contain the following characters: "/\:;|=,+*?<>@[]`)
	}
}
