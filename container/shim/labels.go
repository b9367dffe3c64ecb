package shim

import (
	"errors"
	"fmt"
	"os"
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
	err := os.WriteFile("/proc/thread-self/attr/"+attribute, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) && attribute != "exec" {
		err = os.WriteFile("/proc/thread-self/attr/exec", []byte(value), 0)
	}
	return err
}
