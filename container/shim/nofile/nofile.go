// Package nofile remembers the limit of open files that the process was started with. Package os raises it for
// itself; what the shim starts should have the original. It imports syscall alone, and its path sorts before package
// os', so that it is initialised first.
package nofile

import "syscall"

// Original is the limit at the start.
var Original = read()

func read() syscall.Rlimit {
	var l syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) // cannot fail with these arguments
	return l
}
