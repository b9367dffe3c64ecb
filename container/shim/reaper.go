package shim

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runReaper executes the small init that stays in front of a command. All rights have been given up by now.
func runReaper(program int, p *Process, env []string) error {
	file, err := find(p.Args, env)
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(reportFD, unix.F_SETFD, 0); err != nil { // it says when the command runs
		return err
	}
	tty := ""
	if p.TTY {
		tty = "tty"
	}
	return execError(p.Args[0], execFD(program, append([]string{reaperPart, tty, file}, p.Args...), env))
}

// execFD executes the program that is open at fd.
func execFD(fd int, args, env []string) error {
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	envp, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	empty, _ := syscall.BytePtrFromString("")
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

// reapFor is the life of the small init: it starts the command, passes signals on to it, reaps whatever ends, and ends
// as the command does.
func reapFor(tty, file string, args []string) int {
	report := os.NewFile(reportFD, "report")
	unix.CloseOnExec(reportFD)
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	pid, err := syscall.ForkExec(file, args, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true, Foreground: tty != "", Ctty: 0},
	})
	if err != nil {
		var start *startError
		errors.As(execError(args[0], err), &start)
		start.report(report)
		return start.Code
	}
	report.Close()
	for got := range signals {
		sig := got.(syscall.Signal)
		switch sig {
		case unix.SIGCHLD:
			if status, over := reapAll(pid); over {
				exit, _ := code(status)
				return exit
			}
		case unix.SIGURG: // the Go runtime's own
		default:
			_ = unix.Kill(pid, sig)
		}
	}
	return 0
}

// reapAll reaps every child that has ended, and tells whether one of them was pid.
func reapAll(pid int) (status unix.WaitStatus, over bool) {
	for {
		var s unix.WaitStatus
		got, err := unix.Wait4(-1, &s, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || got <= 0 {
			return status, over
		}
		if got == pid {
			status, over = s, true
		}
	}
}

// hold keeps namespaces until its input ends. As the first process of a pid namespace it has children, which the kernel
// reaps for it.
func hold() {
	signal.Ignore(unix.SIGCHLD)
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	buffer := make([]byte, 1)
	for {
		if _, err := os.Stdin.Read(buffer); err != nil {
			os.Exit(0)
		}
	}
}
