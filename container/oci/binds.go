package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"dhow/container/oci/bundle"
	"dhow/container/program"
	"dhow/container/shim"
)

// userNamespace makes one, and returns it open. The process that it is made with ends at once.
func (r *Runtime) userNamespace(uids, gids []syscall.SysProcIDMap) (*os.File, error) {
	exe, err := program.New(r.config.Program, filepath.Join(r.config.Root, programDir)).Open()
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	in, keep, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	defer keep.Close()
	holder, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()), []string{shim.Holder, "user namespace"}, &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Files: []*os.File{in},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: true},
	})
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Pid))
	keep.Close()
	_ = holder.Kill()
	_, _ = holder.Wait()
	return f, err
}

// openBinds opens the sources of bind mounts as mounts that are mounted nowhere, and gives them to init.
func (r *Runtime) openBinds(p *bundle.Plan, f *files, users *os.File) error {
	for i := range p.Binds {
		b := &p.Binds[i]
		mount := &p.Container.Mounts[b.Mount]
		file, err := r.openBind(b, users)
		if err != nil {
			return fmt.Errorf("error mounting %q to rootfs at %q: %w", b.Source, mount.Target, err)
		}
		mount.FD = f.add(file)
	}
	return nil
}

func (r *Runtime) openBind(b *bundle.Bind, users *os.File) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if b.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, b.Source, flags)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), b.Source)
	if err := r.setBind(fd, b, users); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r *Runtime) setBind(fd int, b *bundle.Bind, users *os.File) error {
	propagation := b.Propagation &^ unix.MS_REC
	if propagation == 0 || propagation == unix.MS_UNBINDABLE {
		propagation = unix.MS_SLAVE
	}
	if propagation != unix.MS_SHARED { // a shared mount stays in its group
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: propagation}); err != nil {
			return fmt.Errorf("set propagation: %w", err)
		}
	}
	if b.Mapped {
		if err := r.mapBind(fd, b, users); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		attr  unix.MountAttr
		flags uint
	}{{b.Attr, 0}, {b.All, unix.AT_RECURSIVE}} {
		if step.attr.Attr_set|step.attr.Attr_clr == 0 {
			continue
		}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|step.flags, &step.attr); err != nil {
			return fmt.Errorf("set options: %w", err)
		}
	}
	return nil
}

// mapBind puts ids on a mount: its own, or the container's.
func (r *Runtime) mapBind(fd int, b *bundle.Bind, users *os.File) error {
	if len(b.UIDs) > 0 {
		own, err := r.userNamespace(b.UIDs, b.GIDs)
		if err != nil {
			return fmt.Errorf("idmap: %w", err)
		}
		defer own.Close()
		users = own
	}
	if users == nil {
		return errors.New("idmap: there is no user namespace to take the ids from")
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if b.MappedAll {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())})
	if err != nil {
		return fmt.Errorf("idmap: its file system cannot map ids (ext4, xfs and btrfs can, tmpfs since Linux 6.3): %w", err)
	}
	return nil
}
