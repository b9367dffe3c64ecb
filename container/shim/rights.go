package shim

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeRights goes from root to what the command may do. Without no_new_privs the filter must be loaded while
// there is CAP_SYS_ADMIN; with it, last, so that it need not allow what comes between.
func takeRights(p *Process, who user) error {
	if err := setRlimits(p.Rlimits); err != nil {
		return err
	}
	if err := newKeyring(); err != nil {
		return err
	}
	if !p.NoNewPrivileges {
		if err := loadFilter(p.Seccomp); err != nil {
			return err
		}
	}
	if err := limitCapabilities(p.Capabilities); err != nil {
		return err
	}
	if err := setUser(who); err != nil {
		return err
	}
	if err := setCapabilities(p.Capabilities, who.uid == 0); err != nil {
		return err
	}
	if !p.NoNewPrivileges {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return loadFilter(p.Seccomp)
}

func setRlimits(limits []Rlimit) error {
	for _, l := range limits {
		if err := unix.Prlimit(0, l.Resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}, nil); err != nil {
			return fmt.Errorf("set resource limit %d to %d:%d: %w", l.Resource, l.Soft, l.Hard, err)
		}
	}
	return nil
}

// newKeyring leaves the machine's session keyring behind; kernels without keys have none.
func newKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // without a name
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("make session keyring: %w", err)
	}
	return nil
}

// limitCapabilities drops from the bounding set what the command may never have.
func limitCapabilities(keep uint64) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep>>c&1 == 1 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // the kernel has fewer
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// setUser acts on this thread alone, which is the one that executes the command.
func setUser(who user) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	var first unsafe.Pointer
	if len(who.groups) > 0 {
		first = unsafe.Pointer(&who.groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(who.groups)), uintptr(first), 0); e != 0 {
		return fmt.Errorf("set groups %v: %w", who.groups, e)
	}
	gid, uid := uintptr(who.gid), uintptr(who.uid)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("set group %d: %w", who.gid, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("set user %d: %w", who.uid, e)
	}
	return nil
}

// setCapabilities gives root all of them; another user keeps none over execve, but may gain those of files.
func setCapabilities(keep uint64, root bool) error {
	effective := keep
	if !root {
		effective = 0
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		data[i].Effective = uint32(effective >> (32 * i))
		data[i].Permitted = data[i].Effective
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

func loadFilter(filter []unix.SockFilter) error {
	if len(filter) == 0 {
		return nil
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return fmt.Errorf("load seccomp filter: %w", e)
	}
	return nil
}
