package assemble

import "syscall"

// makePipe makes a named pipe for our own user.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o600) }
