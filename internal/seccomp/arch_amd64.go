package seccomp

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	// foreign is the first number of another calling convention (x32), which profiles do not know.
	foreign = 0x40000000
)
