package shim

import (
	"errors"
	"fmt"
	"os"

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

// setExec writes an attribute of this thread, which is the one that executes the command.
func setExec(attribute, value string) error {
	err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/attr/%s", unix.Gettid(), attribute), []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) && attribute != "exec" {
		err = os.WriteFile(fmt.Sprintf("/proc/self/task/%d/attr/exec", unix.Gettid()), []byte(value), 0)
	}
	return err
}
