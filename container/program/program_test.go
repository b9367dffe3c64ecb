package program

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sealedSelf is this program as a file in memory, as the shim that is built in would be.
func sealedSelf() (*os.File, error) {
	fd, err := copyOf("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "shim"), nil
}

func TestASealedProgramCannotBeChanged(t *testing.T) {
	f, err := sealedSelf()
	check(t, err)
	defer f.Close()
	again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return // not even opened
	}
	defer unix.Close(again)
	if _, err := unix.Write(again, []byte("x")); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing to it: %v", err)
	}
}

// TestAProgramBesideItsFilesIsStarted: where os.StartProcess itself would put its pipe in the child.
func TestAProgramBesideItsFilesIsStarted(t *testing.T) {
	at := func(path string, lowest int) *os.File {
		f, err := os.Open(path)
		check(t, err)
		defer f.Close()
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, lowest)
		check(t, err)
		high := os.NewFile(uintptr(fd), path)
		t.Cleanup(func() { high.Close() })
		return high
	}
	file := at(os.DevNull, 300)
	program := at("/bin/true", int(file.Fd())+1)
	p, err := Start(program, []string{"true"}, &os.ProcAttr{Files: []*os.File{file, file, file}})
	check(t, err)
	state, err := p.Wait()
	check(t, err)
	if !state.Success() {
		t.Errorf("it ended with %v", state)
	}
}
