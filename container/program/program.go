// Package program opens the shim's program, so that nobody can change it by what its children hold, and starts it.
package program

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"dhow/container/shimbinary"
	"dhow/internal/packed"
	"dhow/internal/perboot"
)

// lowestProgramFD is above the descriptors that a shim is started with.
const lowestProgramFD = 16

// Program is a shim's.
type Program struct {
	path    string
	builtIn func() (*os.File, error) // made once
}

// New names a program by its path. If that is empty it is the one that was built in (shimbinary), whose file lies in dir then,
// or this program itself. Nothing is opened yet.
func New(path, dir string) *Program {
	return &Program{path, sync.OnceValues(func() (*os.File, error) { return openBuiltIn(dir) })}
}

// Open opens the program in a way that nobody can write to it by: a container that executes /proc/self/exe holds the file of
// whatever started it (CVE-2019-5736). It is a read-only mount of the program's file, mounted nowhere; where that cannot be
// had, because the file is gone or of another mount namespace, a sealed copy in memory. What is built in has one file, so that
// all shims of a boot share their memory.
func (p *Program) Open() (*os.File, error) {
	if p.path == "" {
		if builtIn, err := p.builtIn(); err == nil {
			return above(int(builtIn.Fd()))
		}
	}
	path := cmp.Or(p.path, "/proc/self/exe")
	fd, err := readOnlyMount(path)
	if err != nil {
		fd, err = copyOf(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the shim's program %s: %w", path, err)
	}
	defer unix.Close(fd)
	return above(fd)
}

// above duplicates a descriptor to where the shim's own ones do not reach.
func above(fd int) (*os.File, error) {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowestProgramFD)
	if err != nil {
		return nil, fmt.Errorf("the shim's program: %w", err)
	}
	return os.NewFile(uintptr(high), "program"), nil
}

// Start starts an open program. In the child, os.StartProcess uses the numbers after that of the highest of the
// files; the program must not be there.
func Start(program *os.File, args []string, attr *os.ProcAttr) (*os.Process, error) {
	highest := 0
	for _, f := range attr.Files {
		highest = max(highest, int(f.Fd()))
	}
	fd, err := unix.FcntlInt(program.Fd(), unix.F_DUPFD_CLOEXEC, highest+len(attr.Files)+2)
	if err != nil {
		return nil, fmt.Errorf("the shim's program: %w", err)
	}
	defer unix.Close(fd)
	return os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", fd), args, attr)
}

// openBuiltIn opens the program that was built in, by its file in dir, or by a sealed one in memory where that cannot be.
func openBuiltIn(dir string) (*os.File, error) {
	shim, err := shimbinary.Open()
	if err != nil {
		return nil, err
	}
	if f, err := placeBuiltIn(shim, dir); err == nil {
		return f, nil
	}
	unpacked, err := shim.InMemory()
	if err != nil {
		return nil, err
	}
	defer unpacked.Close()
	fd, err := sealed(unpacked)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "shim"), nil
}

// placeBuiltIn: the users of a pod that has its own execute the file, too.
func placeBuiltIn(shim *packed.Program, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path, err := perboot.File{Dir: dir, Version: shim.Version(), Name: "shim", Mode: 0o555, Size: shim.Size(), Write: shim.Unpack}.Path()
	if err != nil {
		return nil, err
	}
	fd, err := readOnlyMount(path)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "shim"), nil
}

func readOnlyMount(link string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, link, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		path, pathErr := samePath(link)
		if pathErr != nil {
			return -1, err
		}
		if fd, err = unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			return -1, err
		}
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_RDONLY, Attr_clr: unix.MOUNT_ATTR_NOEXEC, // which many a /run has
	})
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// samePath is where the link's file is found in this mount namespace.
func samePath(link string) (string, error) {
	path, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	here, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	file, err := os.Stat(link)
	if err != nil {
		return "", err
	}
	if !os.SameFile(here, file) {
		return "", fmt.Errorf("%s is another file by now", path)
	}
	return path, nil
}

func copyOf(path string) (int, error) {
	from, err := os.Open(path)
	if err != nil {
		return -1, err
	}
	defer from.Close()
	return sealed(from)
}

// sealed is a file in memory that can be executed and never changed.
func sealed(from io.Reader) (int, error) {
	fd, err := unix.MemfdCreate("dhow-shim", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all could be executed
		fd, err = unix.MemfdCreate("dhow-shim", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, err
	}
	to := os.NewFile(uintptr(fd), "dhow-shim")
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return -1, err
	}
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, all); err != nil {
		return -1, err
	}
	// What is open for writing cannot be executed.
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
