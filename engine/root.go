package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dhow/container/changes"
	"dhow/internal/rootfs"
)

// openRoot opens a container's root as it is: that of its processes if it runs, or its layers put together. A mount that
// is needed for that is nobody else's, and goes with the descriptor.
func (s *Service) openRoot(ctx context.Context, c *Container, write, mounts bool) (*os.File, error) {
	if pid := s.PID(c); mounts && pid != 0 {
		return os.Open(fmt.Sprintf("/proc/%d/root", pid))
	}
	if c.Spec.Extra.RootFS != nil {
		return os.Open(c.Spec.Extra.RootFS.Path)
	}
	snapshot, err := s.config.Images.Snapshot(ctx, c.ID, c.ImageID)
	if err != nil {
		return nil, err
	}
	return overlay(snapshot, write)
}

// overlay mounts a snapshot nowhere. To be read only, its writable layer is one more to read.
func overlay(snapshot *rootfs.Snapshot, write bool) (*os.File, error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	defer unix.Close(fd)
	lower := snapshot.Lower
	var failed error
	set := func(key, value string) { failed = errors.Join(failed, unix.FsconfigSetString(fd, key, value)) }
	if write {
		set("upperdir", snapshot.Upper)
		set("workdir", snapshot.Work)
	} else {
		lower = append([]string{snapshot.Upper}, lower...)
	}
	if unix.FsconfigSetString(fd, "lowerdir+", lower[0]) == nil { // Linux 6.7
		for _, dir := range lower[1:] {
			set("lowerdir+", dir)
		}
	} else {
		set("lowerdir", strings.Join(lower, ":"))
	}
	failed = errors.Join(failed, unix.FsconfigCreate(fd))
	if failed != nil {
		return nil, fmt.Errorf("mount overlay: %w", failed)
	}
	mount, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID)
	if err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	return os.NewFile(uintptr(mount), "root"), nil
}

// within opens a path in a root; no symbolic link leads out of it.
func within(root *os.File, name string, flags int) (*os.File, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(root.Fd()), path.Join("/", name), how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// fdPath names an open directory.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// Stat looks at a path in a container.
func (s *Service) Stat(ctx context.Context, ref, name string) (fs.FileInfo, error) {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	root, err := s.openRoot(ctx, c, false, true)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := within(root, name, unix.O_PATH)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("Could not find the file %s in container %s: %w", name, ref, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return os.Stat(fdPath(f))
}

// Changes lists what a container has done to its root.
func (s *Service) Changes(ctx context.Context, ref string) ([]changes.Change, error) {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if c.Spec.Extra.RootFS != nil {
		return nil, fmt.Errorf("container %s has a plain directory as its root: there is nothing to compare it with", ref)
	}
	if c.State.Runtime != "" {
		runtime, err := s.runtime()
		if err != nil {
			return nil, err
		}
		return runtime.Changes(ctx, c.State.Runtime)
	}
	snapshot, err := s.config.Images.Snapshot(ctx, c.ID, c.ImageID)
	if err != nil {
		return nil, err
	}
	return changes.Of(snapshot.Lower, snapshot.Upper, ignored(c))
}

// ignored are the files and directories that were made for mounts.
func ignored(c *Container) []string {
	var all []string
	for target := range containerFiles {
		all = append(all, target)
	}
	for _, m := range c.Mounts {
		all = append(all, filepath.Clean(m.Target))
	}
	for _, t := range c.Spec.Extra.Tmpfs {
		all = append(all, filepath.Clean(t.Target))
	}
	return all
}
