package isolate

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// TestMain is both sides: asked by the environment, it is the isolated program that prints its addresses.
func TestMain(m *testing.M) {
	if os.Getenv("ISOLATE_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	if err := SetUp(); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	l, err := net.Listen("tcp", Address+":0")
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	links, _ := net.Interfaces()
	for _, link := range links {
		os.Stdout.WriteString(link.Name + " ")
	}
	l.Close()
}

func TestTheIsolatedProgramHasLinksOfItsOwn(t *testing.T) {
	before, _ := net.Interfaces()
	cmd := Command(exec.Command("/proc/self/exe"))
	cmd.Env = append(os.Environ(), "ISOLATE_TEST_CHILD=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != "lo nowhere eth0 " {
		t.Errorf("inside are the links %q, want lo, eth0 and its peer only", out)
	}
	if after, _ := net.Interfaces(); len(after) != len(before) {
		t.Errorf("the machine's links changed: %v to %v", before, after)
	}
}
