package engine

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// containerLabel is that of files which every container may use (container-selinux). Those of one container only (Z) have
// it, too: containers of this engine have no categories of their own.
const containerLabel = "system_u:object_r:container_file_t:s0"

// relabel gives files of the host the containers' label (options z and Z). Without SELinux in the kernel there are none.
func relabel(path, how string) error {
	if how == "" {
		return nil
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return nil
	}
	return filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = unix.Lsetxattr(name, "security.selinux", []byte(containerLabel), 0)
		}
		if err != nil {
			return fmt.Errorf("relabel %s: %w", name, err)
		}
		return nil
	})
}
