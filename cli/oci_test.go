package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"dhow/container/oci"
)

// TestOCIScripts runs testdata/oci/*.txtar, each in a directory with a bundle whose root has busybox and whose config.json is
// that of `spec` for a command that sleeps, without a terminal.
func TestOCIScripts(t *testing.T) {
	group := fmt.Sprintf("/dhow-oci-script-%d", os.Getpid())
	t.Cleanup(func() {
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			dirs, _ := filepath.Glob(pattern + group)
			for _, dir := range dirs {
				if err := unix.Rmdir(dir); err != nil {
					t.Error(err)
				}
			}
		}
	})
	testscript.Run(t, testscript.Params{
		Dir: "testdata/oci",
		Setup: func(env *testscript.Env) error {
			state := filepath.Join(env.WorkDir, "state")
			env.Setenv("STATE", state)
			env.Defer(func() { removeOCI(t, state) })
			return ociBundle(env.WorkDir, group+"/"+filepath.Base(env.WorkDir))
		},
	})
}

func ociBundle(dir, group string) error {
	bin := filepath.Join(dir, "bundle/rootfs/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	busybox, err := os.ReadFile("/usr/bin/busybox")
	if err == nil {
		err = os.WriteFile(bin+"/busybox", busybox, 0o755)
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"sh", "sleep", "cat", "echo", "hostname", "true", "id", "pwd", "env"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	spec := oci.Example(false)
	spec.Process.Terminal, spec.Process.Args, spec.Linux.CgroupsPath = false, []string{"sleep", "1000"}, group
	data, err := json.MarshalIndent(spec, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bundle/config.json"), data, 0o600)
}

// removeOCI removes the containers that a script has left.
func removeOCI(t *testing.T, state string) {
	out, err := exec.Command("dhow-oci", "--root", state, "list", "-q").Output()
	if err != nil {
		t.Error(err)
	}
	for _, id := range strings.Fields(string(out)) {
		if out, err := exec.Command("dhow-oci", "--root", state, "delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("delete %s: %v\n%s", id, err, out)
		}
	}
}
