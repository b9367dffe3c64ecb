package bundle

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/inside"
	"dhow/container/shim"
)

// Bind is the source of a bind mount, to be opened as a detached mount.
type Bind struct {
	Mount     int // index of the container's mount
	Source    string
	Recursive bool
	// Attr are set on the mount, All on those below it, too; Propagation is MS_PRIVATE and the like, or 0.
	Attr, All   unix.MountAttr
	Propagation uint64
	// Mapped puts ids on it: those of UIDs and GIDs, or of the container's user namespace where there are none.
	Mapped, MappedAll bool
	UIDs, GIDs        []syscall.SysProcIDMap
}

// option is what one word of mount options means: a flag of mount(2), set or cleared, and the attributes that say the
// same of a bind mount.
type option struct {
	clear      bool
	flag       uintptr
	set, unset uint64
}

const atime = unix.MOUNT_ATTR__ATIME

var options = map[string]option{
	"defaults": {}, "rw": {true, unix.MS_RDONLY, 0, unix.MOUNT_ATTR_RDONLY}, "ro": {false, unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY, 0},
	"suid": {true, unix.MS_NOSUID, 0, unix.MOUNT_ATTR_NOSUID}, "nosuid": {false, unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID, 0},
	"dev": {true, unix.MS_NODEV, 0, unix.MOUNT_ATTR_NODEV}, "nodev": {false, unix.MS_NODEV, unix.MOUNT_ATTR_NODEV, 0},
	"exec": {true, unix.MS_NOEXEC, 0, unix.MOUNT_ATTR_NOEXEC}, "noexec": {false, unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC, 0},
	"diratime": {true, unix.MS_NODIRATIME, 0, unix.MOUNT_ATTR_NODIRATIME}, "nodiratime": {false, unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME, 0},
	"symfollow": {true, unix.MS_NOSYMFOLLOW, 0, unix.MOUNT_ATTR_NOSYMFOLLOW}, "nosymfollow": {false, unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW, 0},
	"atime": {true, unix.MS_NOATIME, 0, atime}, "noatime": {false, unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME, atime},
	"relatime": {false, unix.MS_RELATIME, unix.MOUNT_ATTR_RELATIME, atime}, "norelatime": {true, unix.MS_RELATIME, 0, atime},
	"strictatime": {false, unix.MS_STRICTATIME, unix.MOUNT_ATTR_STRICTATIME, atime}, "nostrictatime": {true, unix.MS_STRICTATIME, 0, atime},
	// Of the whole file system; a bind mount has it as it is.
	"sync": {flag: unix.MS_SYNCHRONOUS}, "async": {clear: true, flag: unix.MS_SYNCHRONOUS}, "dirsync": {flag: unix.MS_DIRSYNC},
	"lazytime": {flag: unix.MS_LAZYTIME}, "nolazytime": {clear: true, flag: unix.MS_LAZYTIME}, "mand": {flag: unix.MS_MANDLOCK},
	"nomand": {clear: true, flag: unix.MS_MANDLOCK}, "iversion": {flag: unix.MS_I_VERSION}, "noiversion": {clear: true, flag: unix.MS_I_VERSION},
	"silent": {flag: unix.MS_SILENT}, "loud": {clear: true, flag: unix.MS_SILENT}, "remount": {flag: unix.MS_REMOUNT},
	"acl": {flag: unix.MS_POSIXACL}, "noacl": {clear: true, flag: unix.MS_POSIXACL},
	"bind": {flag: unix.MS_BIND}, "rbind": {flag: unix.MS_BIND | unix.MS_REC},
}

// recursive are those of the mount and all below it (mount_setattr(2)).
var recursive = map[string]option{
	"rro": {set: unix.MOUNT_ATTR_RDONLY}, "rrw": {unset: unix.MOUNT_ATTR_RDONLY}, "rnosuid": {set: unix.MOUNT_ATTR_NOSUID}, "rsuid": {unset: unix.MOUNT_ATTR_NOSUID},
	"rnodev": {set: unix.MOUNT_ATTR_NODEV}, "rdev": {unset: unix.MOUNT_ATTR_NODEV}, "rnoexec": {set: unix.MOUNT_ATTR_NOEXEC}, "rexec": {unset: unix.MOUNT_ATTR_NOEXEC},
	"rnodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "rdiratime": {unset: unix.MOUNT_ATTR_NODIRATIME},
	"rnosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "rsymfollow": {unset: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"rrelatime": {set: unix.MOUNT_ATTR_RELATIME, unset: atime}, "rnorelatime": {unset: atime}, "rnoatime": {set: unix.MOUNT_ATTR_NOATIME, unset: atime},
	"ratime": {unset: atime}, "rstrictatime": {set: unix.MOUNT_ATTR_STRICTATIME, unset: atime}, "rnostrictatime": {unset: atime},
}

// Options are the names of all mount options that are understood, in order.
func Options() []string {
	names := []string{"idmap", "ridmap", "tmpcopyup"}
	for name := range options {
		names = append(names, name)
	}
	for name := range recursive {
		names = append(names, name)
	}
	for name := range rootPropagation {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mount translates one of the bundle's.
func (p *Plan) mount(m *specs.Mount, dir, label string) error {
	if m.Destination == "" {
		return errors.New("destination is missing")
	}
	if !path.IsAbs(m.Destination) {
		return fmt.Errorf("destination %q is not absolute", m.Destination)
	}
	out := inside.Mount{Target: path.Clean(m.Destination), Type: m.Type, Source: m.Source}
	b := Bind{Mount: len(p.Container.Mounts), Source: m.Source}
	var data []string
	for _, word := range m.Options {
		if !take(&out, &b, word) {
			data = append(data, word)
		}
	}
	bind := out.Flags&unix.MS_BIND != 0 || m.Type == "bind"
	if (m.Type == "cgroup" || m.Type == "cgroup2") && m.Source == m.Type {
		bind = false
	}
	if err := p.checkMount(m, &out, bind, data); err != nil {
		return err
	}
	if bind {
		if !filepath.IsAbs(b.Source) {
			b.Source = filepath.Join(dir, b.Source)
		}
		b.Recursive = out.Flags&unix.MS_REC != 0
		b.UIDs, b.GIDs = mappings(m.UIDMappings), mappings(m.GIDMappings)
		b.Mapped = b.Mapped || len(b.UIDs) > 0
		if b.Mapped && len(b.UIDs) == 0 && !p.has(unix.CLONE_NEWUSER) {
			return errors.New("idmap: neither the mount nor the container has mappings of ids")
		}
		p.Binds = append(p.Binds, b)
	} else {
		out.Set, out.Clear = b.All.Attr_set, b.All.Attr_clr
		out.Data = withLabel(strings.Join(data, ","), label, m.Type)
		if out.Source == "" {
			out.Source = m.Type
		}
	}
	p.Container.Mounts = append(p.Container.Mounts, out)
	return nil
}

// take applies one word, and says whether it was one of ours and not the file system's.
func take(m *inside.Mount, b *Bind, word string) bool {
	if o, ok := options[word]; ok {
		if o.clear {
			m.Flags &^= o.flag
		} else {
			m.Flags |= o.flag
		}
		b.Attr.Attr_set = b.Attr.Attr_set&^o.unset | o.set
		b.Attr.Attr_clr = b.Attr.Attr_clr&^o.set | o.unset
		return true
	}
	if o, ok := recursive[word]; ok {
		b.All.Attr_set = b.All.Attr_set&^o.unset | o.set
		b.All.Attr_clr = b.All.Attr_clr&^o.set | o.unset
		return true
	}
	if flag, ok := rootPropagation[word]; ok && word != "" {
		b.Propagation = flag
		m.Propagation = append(m.Propagation, uintptr(flag))
		return true
	}
	switch word {
	case "tmpcopyup":
		m.CopyUp = true
	case "idmap":
		b.Mapped = true
	case "ridmap":
		b.Mapped, b.MappedAll = true, true
	default:
		return false
	}
	return true
}

func (p *Plan) checkMount(m *specs.Mount, out *inside.Mount, bind bool, data []string) error {
	switch {
	case bind && m.Source == "":
		return errors.New("source of the bind mount is missing")
	case !bind && m.Type == "":
		return errors.New("type is missing, and there is no bind or rbind among the options")
	case bind && firstWord(data) != "":
		return fmt.Errorf("unknown option %q for a bind mount", firstWord(data))
	case out.CopyUp && (bind || m.Type != "tmpfs"):
		return errors.New("tmpcopyup is for tmpfs only")
	case len(m.UIDMappings) != len(m.GIDMappings) && (len(m.UIDMappings) == 0 || len(m.GIDMappings) == 0):
		return errors.New("uidMappings and gidMappings go together")
	case !bind && len(m.UIDMappings) > 0:
		return errors.New("mappings of ids are for bind mounts only")
	case out.Flags&unix.MS_REMOUNT != 0:
		return errors.New("remount: give the mount its options where it is made")
	}
	if inProc := strings.HasPrefix(out.Target, "/proc/"); inProc && !slices.Contains(shim.ProcFiles(), out.Target) {
		return fmt.Errorf("%q cannot be mounted because it is inside /proc", out.Target)
	}
	if out.Target != "/proc" || !bind {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(m.Source, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return errors.New(`"/proc" cannot be mounted because it is not of type proc`)
	}
	return nil
}

// firstWord is the first that is not NAME=VALUE. Values such as mode=755 are for file systems; a bind mount's is mounted
// already, and has no use for them, as mount(8) says.
func firstWord(data []string) string {
	for _, word := range data {
		if !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}

// withLabel adds an SELinux context, which the small file systems of the kernel's own do not take.
func withLabel(data, label, kind string) string {
	if label == "" || slices.Contains([]string{"proc", "sysfs", "cgroup", "cgroup2", "mqueue"}, kind) {
		return data
	}
	context := fmt.Sprintf("context=%q", label)
	if data == "" {
		return context
	}
	return data + "," + context
}
