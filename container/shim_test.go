package container

import (
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestAShimFromMemoryRunsContainers(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	check(t, err)
	defer self.Close()
	fd, err := unix.MemfdCreate("shim", unix.MFD_CLOEXEC)
	check(t, err)
	memory := os.NewFile(uintptr(fd), "shim")
	defer memory.Close()
	_, err = io.Copy(memory, self)
	check(t, err)
	r := newRig(t)
	r.halt()
	r.config.Program = fmt.Sprintf("/proc/self/fd/%d", fd)
	r.start()
	if status := r.waitExit(r.launch(sh("exit 7"))); status.ExitCode != 7 {
		t.Errorf("status is %v", status)
	}
	pod, err := r.engine.PodSandboxStatus(t.Context(), r.id)
	check(t, err)
	if pod.State != cri.PodSandboxState_SANDBOX_READY {
		t.Errorf("sandbox %v", pod.State)
	}
}
