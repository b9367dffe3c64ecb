package shim

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// What other inits than the shim's share with it; see container/oci/inside.

// InRoot opens a path as it is for a process whose root is the directory at fd: links and ".." stay inside.
func InRoot(root int, name string, flags int) (int, error) { return inRoot(root, name, flags) }

// MountPoint opens a path in a root, and makes it when it is not there: a directory or an empty file.
func MountPoint(root int, name string, directory bool) (int, error) {
	return target(root, name, directory)
}

// GuardProc refuses an open mount point that is a part of a procfs. A detached mount that is a procfs may cover the whole
// of one; -1: what is mounted is none.
func GuardProc(at, mount int, name string) error { return guardProc(at, mount, name) }

// ProcFiles may be mounted over in /proc: they say what the container may use, and protect nothing.
func ProcFiles() []string { return procFiles }

// InsideRoot tells whether this process' root leads to the directory that it is in.
func InsideRoot() bool { return insideRoot() }

// Protect masks paths of a root and makes others read-only; those that are not there need neither.
func Protect(root int, masked, readOnly []string) error { return protect(root, masked, readOnly) }

// CopyDirectory copies what is in one open directory to another, with owners, modes and times.
func CopyDirectory(from, to int) error { return copyDirectory(from, to) }

// MapIDs puts the ids of a user namespace on a detached mount.
func MapIDs(mount, user int) error { return mapIDs(mount, user) }

// SetSysctls sets some of this process' namespaces.
func SetSysctls(all map[string]string) error { return setSysctls(all) }

// LoopbackUp brings up lo in this process' network namespace.
func LoopbackUp() error { return loopbackUp() }

// DefaultSignals undoes what a command would inherit of ignored and blocked signals.
func DefaultSignals() { defaultSignals() }

// LoadFilter loads a seccomp filter; none if it is empty.
func LoadFilter(filter []unix.SockFilter) error { return loadFilter(filter) }

// NewKeyring leaves the machine's session keyring behind.
func NewKeyring() error { return newKeyring() }

// SetLabels tells the kernel's security modules what the command that is executed next is confined by.
func SetLabels(appArmor, selinux string) error {
	return setLabels(&Process{AppArmor: appArmor, SELinux: selinux})
}

// WithHome adds HOME to an environment that has none, as /etc/passwd of this root has it for a user.
func WithHome(env []string, uid uint32) []string {
	who, _, err := findUser(strconv.FormatUint(uint64(uid), 10))
	if err != nil || who.home == "" {
		who.home = "/"
	}
	return withHome(env, who.home)
}

// LookUp finds the file of a command as execvp(3) does.
func LookUp(name string, env []string) (string, error) { return lookUp(name, env) }

// MemoryFile is an open file that has no name, with data in it and read from its beginning.
func MemoryFile(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("spec", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "spec")
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
