package shim

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// setLabels tells the kernel's security modules what the command that is executed next is confined by.
func setLabels(p *Process) error {
	if p.AppArmor != "" {
		if err := setExec("apparmor/exec", "exec "+p.AppArmor); err != nil {
			return fmt.Errorf("AppArmor profile %q: %w", p.AppArmor, err)
		}
	}
	if p.SELinux != "" {
		if err := setExec("exec", p.SELinux); err != nil {
			return fmt.Errorf("SELinux context %q: %w", p.SELinux, err)
		}
	}
	return nil
}

// setExec writes an attribute of this thread, which is the one that executes the command. Its number is of no use: in a
// PID namespace of its own it has another than /proc, which may be the machine's, shows.
func setExec(attribute, value string) error {
	fd, err := openProc("thread-self/attr/"+attribute, unix.O_WRONLY)
	if errors.Is(err, unix.ENOENT) && attribute != "exec" {
		fd, err = openProc("thread-self/attr/exec", unix.O_WRONLY)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}
