package shim

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ignored is SIG_IGN, and a kernelAction of zeros SIG_DFL (sigaction(2)). The handler comes first in the kernel's struct
// sigaction on all machines.
const ignored = 1

type kernelAction [4]uintptr

const (
	lastSignal = 64
	maskSize   = 8 // bytes of the kernel's sigset_t
)

// defaultSignals undoes what a command would inherit of whoever started all this: nohup(1) ignores SIGHUP, a shell
// SIGINT and SIGQUIT of what it starts with &, and a shell that finds a signal ignored cannot trap it (POSIX, "trap"). The
// handlers of the Go runtime go by themselves. The caller keeps its thread.
func defaultSignals() {
	for number := uintptr(1); number <= lastSignal; number++ {
		var now, byDefault kernelAction
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, 0, uintptr(unsafe.Pointer(&now)), maskSize, 0, 0)
		if errno == 0 && now[0] == ignored {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&byDefault)), 0, maskSize, 0, 0)
		}
	}
	var none unix.Sigset_t
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}
