package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"dhow/internal/imagebuild"
	"dhow/internal/isolate"
)

// insideEnv marks this program run again on a machine of its own: network and mount namespaces.
const insideEnv = "DHOW_CLI_INSIDE"

// TestContainersOnAMachine runs testdata/containers/*.txtar and testdata/build/*.txtar in namespaces of their own, with an image named busybox in the
// archive $IMAGE and a root of its own, which `dhow reset` empties at the end.
func TestContainersOnAMachine(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		again(t)
		return
	}
	check(t, isolate.SetUp())
	archive := busyboxArchive(t)
	testscript.Run(t, testscript.Params{
		Files: scripts(t, "testdata/containers", "testdata/build"),
		Setup: func(env *testscript.Env) error {
			root, err := os.MkdirTemp("", "dhow")
			if err != nil {
				return err
			}
			env.Setenv("ROOT", root)
			env.Setenv("IMAGE", archive)
			env.Defer(func() {
				out, err := exec.Command("dhow", "--root", root, "reset", "--yes").CombinedOutput()
				if err != nil {
					t.Errorf("reset: %v: %s", err, out)
				}
				_ = os.RemoveAll(root)
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"capture": capture, "eventually": eventually, "registry-address": registryAddress},
	})
}

func scripts(t *testing.T, dirs ...string) (all []string) {
	t.Helper()
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		check(t, err)
		all = append(all, found...)
	}
	return all
}

// again runs the test in namespaces of its own.
func again(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // the child dies with this thread
	defer runtime.UnlockOSThread()
	cmd := isolate.Command(exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", fmt.Sprintf("-test.v=%v", testing.Verbose())))
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("on its own machine (root is needed): %v\n%s", err, out)
	}
}

// onItsOwnMachine runs a test in namespaces of its own, with an empty root, which is reset at the end.
func onItsOwnMachine(t *testing.T, test func(root string)) {
	t.Helper()
	if os.Getenv(insideEnv) == "" {
		again(t)
		return
	}
	check(t, isolate.SetUp())
	root, err := os.MkdirTemp("", "dhow")
	check(t, err)
	defer func() {
		if out, err := exec.Command("dhow", "--root", root, "reset", "--yes").CombinedOutput(); err != nil {
			t.Errorf("reset: %v: %s", err, out)
		}
		check(t, os.RemoveAll(root))
	}()
	test(root)
}

// busyboxArchive makes the image once.
func busyboxArchive(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox is missing: apt-get install busybox-static")
	}
	files := []imagebuild.File{
		{Path: "/bin/busybox", Source: path}, {Path: "/tmp", Mode: 0o1777}, {Path: "/proc"}, {Path: "/sys"}, {Path: "/dev"},
		{Path: "/etc/passwd", Data: []byte("root:x:0:0::/root:/bin/sh\n")}, {Path: "/etc/group", Data: []byte("root:x:0:\n")},
		{Path: "/data/seed", Data: []byte("from the image\n")},
	}
	for _, name := range []string{"sh", "cat", "echo", "sleep", "id", "env", "true", "wget", "httpd", "hostname", "touch", "mkdir", "ls", "pwd", "trap", "ip", "grep", "kill", "test", "ping"} {
		files = append(files, imagebuild.File{Path: "/bin/" + name, Link: "busybox"})
	}
	image, err := imagebuild.Image(v1.Config{Cmd: []string{"sh"}, Env: []string{"FROM=image"}}, files...)
	check(t, err)
	archive := filepath.Join(t.TempDir(), "busybox.tar")
	check(t, imagebuild.WriteArchive(image, "busybox", archive))
	return archive
}
