package processes

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestProcessesAreToldByTheirNumbers(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	const none = 1 << 30
	all, err := Read([]int{cmd.Process.Pid, none, os.Getpid()})
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, p := range all {
		if p.PID == os.Getpid() && (p.Threads < 2 || p.RSS == 0 || p.UID != os.Getuid() || p.InnerPID == 0) {
			t.Errorf("this process is %+v", p)
		}
		if p.PID == cmd.Process.Pid && (p.PPID != os.Getpid() || time.Since(p.Started) > time.Minute) {
			t.Errorf("the child is %+v", p)
		}
	}
}
