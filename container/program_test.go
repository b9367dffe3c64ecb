package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sealedSelf is this program as a file in memory, as the shim that is built in would be.
func sealedSelf() (*os.File, error) {
	fd, err := copyOf("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "shim"), nil
}

func TestAShimFromMemoryRunsContainers(t *testing.T) {
	r := newRig(t)
	builtIn, err := sealedSelf()
	check(t, err)
	t.Cleanup(func() { builtIn.Close() })
	r.engine.config.Program = ""
	r.engine.builtIn = func() (*os.File, error) { return builtIn, nil }
	id := r.launch(sh("exit 7"))
	r.eventually("the container to end", func() bool { return r.status(id).State == cri.ContainerState_CONTAINER_EXITED })
	if code := r.status(id).ExitCode; code != 7 {
		t.Errorf("exit code %d", code)
	}
	status, err := r.engine.PodSandboxStatus(context.Background(), r.id)
	check(t, err)
	if status.State != cri.PodSandboxState_SANDBOX_READY {
		t.Errorf("sandbox %v", status.State)
	}
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
	p, err := startProgram(program, []string{"true"}, &os.ProcAttr{Files: []*os.File{file, file, file}})
	check(t, err)
	state, err := p.Wait()
	check(t, err)
	if !state.Success() {
		t.Errorf("it ended with %v", state)
	}
}
