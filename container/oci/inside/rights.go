package inside

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// prepare gives up all rights but those that waiting for start and executing the command need, and finds the command,
// so that one that is missing is told while create still listens.
func prepare(p *Process) (file string, env []string, err error) {
	env = shim.WithHome(p.Env, p.UID)
	// Before a filter is loaded, which may know no close_range(2); what is opened later closes itself.
	if err := unix.CloseRange(uint(3+p.Keep), ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return "", nil, fmt.Errorf("close descriptors: %w", err)
	}
	if err := setExtras(p); err != nil {
		return "", nil, err
	}
	if err := shim.SetLabels(p.AppArmor, p.SELinux); err != nil {
		return "", nil, err
	}
	if !p.KeepKeyring {
		if err := shim.NewKeyring(); err != nil {
			return "", nil, err
		}
	}
	if p.TTY {
		_ = unix.Fchown(0, int(p.UID), -1) // not on a terminal of a read-only devpts
	} else {
		ownStreams(p)
	}
	for _, l := range p.Rlimits {
		if err := unix.Prlimit(0, l.Resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}, nil); err != nil {
			return "", nil, fmt.Errorf("error setting rlimit type %s to %d:%d: %w", l.Name, l.Soft, l.Hard, err)
		}
	}
	if !p.NoNewPrivileges { // afterwards there is no CAP_SYS_ADMIN to load it by
		if err := loadFilter(p); err != nil {
			return "", nil, err
		}
	}
	if err := takeRights(p); err != nil {
		return "", nil, err
	}
	if err := changeDirectory(p.Cwd); err != nil {
		return "", nil, err
	}
	file, err = find(p.Args, env)
	return file, env, err
}

// ownStreams lets the command open its standard streams by /dev/stdout and the like, as runc does.
func ownStreams(p *Process) {
	var null, st unix.Stat_t
	if unix.Stat("/dev/null", &null) != nil {
		return
	}
	for fd := range 3 {
		if unix.Fstat(fd, &st) == nil && st.Rdev != null.Rdev && st.Uid != p.UID {
			_ = unix.Fchown(fd, int(p.UID), -1) // sockets of others and read-only file systems refuse
		}
	}
}

// execute becomes the command.
func execute(p *Process, file string, env []string) error {
	if p.NoNewPrivileges { // last, so that the filter need not allow what came before
		if err := loadFilter(p); err != nil {
			return err
		}
	}
	unix.Umask(int(p.Umask))
	return execError(p.Args[0], unix.Exec(file, p.Args, env))
}

// takeRights goes from root to the user and capabilities of the command.
func takeRights(p *Process) error {
	keep := p.Capabilities
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep.Bounding>>c&1 == 1 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // the kernel has fewer
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := setUser(p); err != nil {
		return err
	}
	if err := setCapabilities(keep); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if !p.NoNewPrivileges {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("noNewPrivileges: %w", err)
	}
	return nil
}

// setUser acts on this thread alone, which is the one that executes the command.
func setUser(p *Process) error {
	var first unsafe.Pointer
	if len(p.Groups) > 0 {
		first = unsafe.Pointer(&p.Groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(p.Groups)), uintptr(first), 0); e != 0 && !(e == unix.EPERM && len(p.Groups) == 0) {
		return fmt.Errorf("additionalGids %v: %w", p.Groups, e)
	}
	gid, uid := uintptr(p.GID), uintptr(p.UID)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("set group %d: %w", p.GID, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("set user %d: %w", p.UID, e)
	}
	return nil
}

func setCapabilities(c Capabilities) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		data[i] = unix.CapUserData{
			Effective: uint32(c.Effective >> (32 * i)), Permitted: uint32(c.Permitted >> (32 * i)), Inheritable: uint32(c.Inheritable >> (32 * i)),
		}
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for n := uintptr(0); n < 64; n++ {
		if c.Ambient>>n&1 == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, n, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("raise ambient capability %d: %w", n, err) // one that is neither permitted nor inheritable cannot be
		}
	}
	return nil
}

func loadFilter(p *Process) error {
	if len(p.Seccomp) == 0 {
		return nil
	}
	program := unix.SockFprog{Len: uint16(len(p.Seccomp)), Filter: &p.Seccomp[0]}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(p.SeccompFlags), uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return fmt.Errorf("load seccomp filter: %w", e)
	}
	return nil
}

// setExtras are what few ask for.
func setExtras(p *Process) error {
	if p.Personality != nil {
		if _, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(*p.Personality), 0, 0); e != 0 {
			return fmt.Errorf("personality: %w", e)
		}
	}
	if p.Scheduler != nil {
		if err := unix.SchedSetAttr(0, p.Scheduler, 0); err != nil {
			return fmt.Errorf("scheduler: %w", err)
		}
	}
	if p.IOPriority != nil {
		const thisProcess = 1 // IOPRIO_WHO_PROCESS
		if _, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, thisProcess, 0, uintptr(*p.IOPriority)); e != 0 {
			return fmt.Errorf("ioPriority: %w", e)
		}
	}
	if m := p.MemoryPolicy; m != nil {
		var first unsafe.Pointer
		if len(m.Nodes) > 0 {
			first = unsafe.Pointer(&m.Nodes[0])
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(m.Mode), uintptr(first), uintptr(64*len(m.Nodes)+1)); e != 0 {
			return fmt.Errorf("memoryPolicy: %w", e)
		}
	}
	if len(p.Affinity) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range p.Affinity {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("execCPUAffinity: %w", err)
	}
	return nil
}

// changeDirectory refuses a directory outside the root: it would be a way out (CVE-2024-21626).
func changeDirectory(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("chdir to cwd (%q) set in config.json failed: %w", dir, err)
	}
	if !shim.InsideRoot() {
		return fmt.Errorf("current working directory is outside of container mount namespace root: %q", dir)
	}
	return nil
}

// find is the file of a command.
func find(args, env []string) (string, error) {
	if len(args) == 0 {
		return "", &Failure{1, "args must not be empty"}
	}
	file, err := shim.LookUp(args[0], env)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return "", &Failure{127, fmt.Sprintf("exec: %q: executable file not found in $PATH", args[0])}
		}
		return "", execError(args[0], err)
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", execError(args[0], err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return "", &Failure{126, fmt.Sprintf("exec: %q: is a directory", args[0])}
	}
	if st.Mode&0o111 == 0 {
		return "", execError(args[0], unix.EACCES)
	}
	return file, nil
}

// execError gives a command that cannot be executed the code that shells give it.
func execError(name string, err error) error {
	code := 126
	if errors.Is(err, unix.ENOENT) {
		code = 127
	}
	return &Failure{code, fmt.Sprintf("exec: %q: %v", name, err)}
}
