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
	// Others may make links of their own here meanwhile.
	if link, err := net.InterfaceByName("nowhere"); err == nil {
		t.Errorf("the machine has the link %v", link)
	}
}
