package seccomp

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	// foreign is beyond every number: there is no other calling convention.
	foreign = 0x40000000
)
