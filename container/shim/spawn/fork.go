package spawn

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What package syscall tells the runtime around a fork.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// high is above the descriptors that a program is given.
const high = 512

// fork clones the process. The child never returns: it has one thread, no scheduler and a stack that cannot grow, so
// it makes system calls and nothing else.
//
//go:noinline
//go:norace
//go:nocheckptr
func fork(p *prepared) (uintptr, syscall.Errno) {
	var (
		pid, fd, step uintptr
		errno         syscall.Errno
		i             int
	)
	beforeFork()
	if p.clone.flags&unix.CLONE_INTO_CGROUP != 0 {
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&p.clone)), unsafe.Sizeof(p.clone), 0, 0, 0, 0)
	} else {
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(p.clone.flags)|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	}
	if errno != 0 || pid != 0 {
		afterFork()
		runtime.KeepAlive(p)
		return pid, errno
	}
	afterForkInChild()

	step = stepJoin
	for i = 0; i < len(p.joinFD); i++ {
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETNS, p.joinFD[i], p.joinKind[i], 0); errno != 0 {
			goto failed
		}
	}
	if p.root {
		step = stepUser
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETRESGID, 0, 0, 0); errno != 0 {
			goto failed
		}
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
			goto failed
		}
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); errno != 0 {
			goto failed
		}
	}
	if len(p.clocks) > 0 {
		step = stepClocks
		if _, _, errno = syscall.RawSyscall(unix.SYS_UNSHARE, unix.CLONE_NEWTIME, 0, 0); errno != 0 {
			goto failed
		}
		fd, _, errno = syscall.RawSyscall6(unix.SYS_OPENAT, at(unix.AT_FDCWD), uintptr(unsafe.Pointer(p.clocksPath)), unix.O_WRONLY|unix.O_CLOEXEC, 0, 0, 0)
		if errno != 0 {
			goto failed
		}
		if _, _, errno = syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&p.clocks[0])), uintptr(len(p.clocks))); errno != 0 {
			goto failed
		}
		fd, _, errno = syscall.RawSyscall6(unix.SYS_OPENAT, at(unix.AT_FDCWD), uintptr(unsafe.Pointer(p.clocksNS)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		if errno != 0 {
			goto failed
		}
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETNS, fd, unix.CLONE_NEWTIME, 0); errno != 0 {
			goto failed
		}
	}
	step = stepClone
	if p.then&unix.CLONE_NEWPID != 0 {
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, p.then|unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			goto failed
		}
		if pid != 0 { // the second one lives on
			p.message[0], p.message[1] = stepPid, uint32(pid)
			syscall.RawSyscall(unix.SYS_WRITE, p.report, p.messageAddress, 8)
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	} else if p.then != 0 {
		if _, _, errno = syscall.RawSyscall(unix.SYS_UNSHARE, p.then, 0, 0); errno != 0 {
			goto failed
		}
	}

	// All move up before any takes its place.
	step = stepFiles
	if fd, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, p.report, unix.F_DUPFD_CLOEXEC, high); errno != 0 {
		goto failed
	}
	p.report = fd
	if fd, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, p.program, unix.F_DUPFD_CLOEXEC, high); errno != 0 {
		goto failed
	}
	p.program = fd
	for i = 0; i < len(p.files); i++ {
		if fd, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, p.files[i], unix.F_DUPFD_CLOEXEC, high); errno != 0 {
			goto failed
		}
		p.files[i] = fd
	}
	for i = 0; i < len(p.files); i++ {
		if _, _, errno = syscall.RawSyscall(unix.SYS_DUP3, p.files[i], uintptr(i), 0); errno != 0 {
			goto failed
		}
	}
	if p.setsid {
		syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	}
	if p.nofile != nil {
		syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(p.nofile)), 0, 0, 0)
	}
	step = stepExec
	_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVEAT, p.program, uintptr(unsafe.Pointer(p.empty)),
		uintptr(unsafe.Pointer(&p.argv[0])), uintptr(unsafe.Pointer(&p.envp[0])), unix.AT_EMPTY_PATH, 0)
failed:
	p.message[0], p.message[1] = uint32(step), uint32(errno)
	syscall.RawSyscall(unix.SYS_WRITE, p.report, p.messageAddress, 8)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
}

// at passes a negative descriptor as the kernel wants it.
//
//go:nosplit
func at(fd int) uintptr { return uintptr(fd) }
