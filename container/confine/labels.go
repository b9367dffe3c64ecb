package confine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// DefaultAppArmor is the profile of containers that ask for the runtime's default, or for nothing. The kernel takes
// compiled profiles only, so the engine loads none: it uses this one where the administrator has loaded it.
const DefaultAppArmor = "dhow-default"

// AppArmor is the profile that is asked for by name, or the default one, which privileged containers do not have; empty:
// none.
func AppArmor(s *cri.LinuxContainerSecurityContext) (string, error) {
	name, unconfined := "", false
	if p := s.GetApparmor(); p != nil {
		unconfined = p.ProfileType == cri.SecurityProfile_Unconfined
		if p.ProfileType == cri.SecurityProfile_Localhost {
			name = strings.TrimPrefix(p.LocalhostRef, "localhost/")
			if name == "" {
				return "", errors.New("AppArmor profile: a local one is asked for and not named")
			}
		}
	} else {
		unconfined = s.GetApparmorProfile() == "unconfined"
		name, _ = strings.CutPrefix(s.GetApparmorProfile(), "localhost/")
		if name == s.GetApparmorProfile() {
			name = ""
		}
	}
	switch {
	case name == "" && (unconfined || s.GetPrivileged() || !AppArmorEnabled()):
		return "", nil
	case name == "":
		if loaded, _ := appArmorLoaded(DefaultAppArmor); loaded {
			name = DefaultAppArmor
		}
		return name, nil
	case !AppArmorEnabled():
		return "", fmt.Errorf("AppArmor profile %q: this kernel has no AppArmor enabled; ask for unconfined", name)
	}
	if loaded, err := appArmorLoaded(name); err == nil && !loaded {
		return "", fmt.Errorf("AppArmor profile %q is not loaded (apparmor_parser loads profiles)", name)
	}
	return name, nil
}

// AppArmorEnabled says whether this kernel has AppArmor, and uses it.
func AppArmorEnabled() bool {
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(enabled), "Y")
}

func appArmorLoaded(name string) (bool, error) {
	profiles, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	return strings.Contains("\n"+string(profiles), "\n"+name+" ("), err
}

// DefaultAppArmorMissing says whether containers lack a default profile that this kernel could give them.
func DefaultAppArmorMissing() bool {
	if !AppArmorEnabled() {
		return false
	}
	loaded, err := appArmorLoaded(DefaultAppArmor)
	return err == nil && !loaded
}

// SELinux is the context that is asked for, with what containers usually have where it is silent; empty: none. Privileged
// containers have none.
func SELinux(s *cri.LinuxContainerSecurityContext) (string, error) {
	o := s.GetSelinuxOptions()
	if s.GetPrivileged() || o.GetUser() == "" && o.GetRole() == "" && o.GetType() == "" && o.GetLevel() == "" {
		return "", nil
	}
	context := strings.Join([]string{cmp.Or(o.User, "system_u"), cmp.Or(o.Role, "system_r"), cmp.Or(o.Type, "container_t"), cmp.Or(o.Level, "s0")}, ":")
	if !seLinuxEnabled() {
		return "", fmt.Errorf("SELinux context %s: this kernel has no SELinux enabled", context)
	}
	return context, nil
}

func seLinuxEnabled() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}

// Relabel lets containers of an SELinux context use files of the machine. Without SELinux there are no labels to change.
func Relabel(dir string, o *cri.SELinuxOption) error {
	if !seLinuxEnabled() {
		return nil
	}
	if slices.Contains([]string{"/", "/etc", "/home", "/root", "/usr", "/var"}, dir) {
		return fmt.Errorf("SELinux relabeling of %s is not allowed: the machine needs its labels", dir)
	}
	return labelAll(dir, "security.selinux", strings.Join([]string{"system_u", "object_r", "container_file_t", cmp.Or(o.GetLevel(), "s0")}, ":"))
}

// labelAll gives a file, and all below a directory, an attribute's value.
func labelAll(dir, attribute, label string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = unix.Lsetxattr(path, attribute, []byte(label), 0)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone meanwhile
		}
		if err != nil {
			return fmt.Errorf("relabel %s: %w", path, err)
		}
		return nil
	})
}
