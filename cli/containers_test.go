package cli

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"dhow/internal/imagebuild"
	"dhow/internal/isolate"
)

// insideEnv marks this program run again on a machine of its own: network and mount namespaces.
const insideEnv = "DHOW_CLI_INSIDE"

// TestContainersOnAMachine runs testdata/containers/*.txtar.
func TestContainersOnAMachine(t *testing.T) { runOnAMachine(t, "testdata/containers") }

// TestBuildsOnAMachine runs testdata/build/*.txtar.
func TestBuildsOnAMachine(t *testing.T) { runOnAMachine(t, "testdata/build") }

// runOnAMachine runs scripts, each in namespaces of its own: they count on the first free subnet, and change the firewall. An
// image named busybox is in the archive $IMAGE; their roots are emptied by `dhow reset` at the end.
func runOnAMachine(t *testing.T, dir string) {
	t.Helper()
	if os.Getenv(insideEnv) == "" {
		files, err := filepath.Glob(dir + "/*.txtar")
		check(t, err)
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				again(t)
			})
		}
		return
	}
	check(t, isolate.SetUp())
	archive := busyboxArchive(t)
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			root, err := os.MkdirTemp("", "dhow")
			if err != nil {
				return err
			}
			env.Setenv("ROOT", root)
			env.Setenv("IMAGE", archive)
			env.Setenv("LINK", (&environment{Root: root}).linkName())
			env.Setenv("DISK", disk(t))
			if err := shortcut(env, root); err != nil {
				return err
			}
			env.Defer(func() {
				out, err := exec.Command("dhow", "--root", root, "reset", "--yes").CombinedOutput()
				if err != nil {
					t.Errorf("reset: %v: %s", err, out)
				}
				_ = os.RemoveAll(root)
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"capture": capture, "eventually": eventually, "registry-address": registryAddress, "limit": limit, "killparent": killParent,
		},
	})
}

// disk is a whole disk of the machine, for limits.
func disk(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("/sys/block/*/device") // what is only made up, as loop devices are, has none
	check(t, err)
	for _, name := range names {
		path := filepath.Join("/dev", filepath.Base(filepath.Dir(name)))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("this machine has no disk to limit")
	return ""
}

// shortcut is the command d: dhow in the script's root.
func shortcut(env *testscript.Env, root string) error {
	bin := filepath.Join(env.WorkDir, ".bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
	return os.WriteFile(filepath.Join(bin, "d"), []byte("#!/bin/sh\nexec dhow --root "+root+" \"$@\"\n"), 0o755)
}

// killParent PID kills the parent of a container's first process: its shim.
func killParent(ts *testscript.TestScript, _ bool, args []string) {
	stat := ts.ReadFile("/proc/" + args[0] + "/stat")
	parent, err := strconv.Atoi(strings.Fields(stat[strings.LastIndexByte(stat, ')'):])[2])
	ts.Check(err)
	ts.Check(syscall.Kill(parent, syscall.SIGKILL))
}

// limit CONTAINER CONTROLLER V1-FILE V2-FILE REGEXP looks into a file of a container's control group.
func limit(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("d", "inspect", "-f", "{{.State.Pid}}", args[0]))
	groups := ts.ReadFile("/proc/" + strings.TrimSpace(ts.ReadFile("stdout")) + "/cgroup")
	path := ""
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case slices.Contains(strings.Split(parts[1], ","), args[1]):
			path = filepath.Join("/sys/fs/cgroup", args[1], parts[2], args[2])
		case parts[1] == "" && path == "":
			path = filepath.Join("/sys/fs/cgroup", parts[2], args[3])
		}
	}
	if text := ts.ReadFile(path); !regexp.MustCompile("(?m)" + args[4]).MatchString(text) {
		ts.Fatalf("%s: %q does not match %s", path, text, args[4])
	}
}

// onAMachine runs the test that calls it once more, in namespaces of its own, and says whether this is that run.
func onAMachine(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		check(t, isolate.SetUp())
		return true
	}
	again(t)
	return false
}

func again(t *testing.T) {
	t.Helper()
	which := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	if asked := flag.Lookup("test.run").Value.String(); strings.Contains(asked, t.Name()+"/") {
		which = asked // some of its parts
	}
	runtime.LockOSThread() // the child dies with this thread
	defer runtime.UnlockOSThread()
	cmd := isolate.Command(exec.Command("/proc/self/exe", "-test.run="+which, fmt.Sprintf("-test.v=%v", testing.Verbose())))
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
		{Path: "/etc/passwd", Data: []byte("root:x:0:0::/root:/bin/sh\n")}, {Path: "/etc/group", Data: []byte("root:x:0:\nwheel:x:10:\n")},
		{Path: "/data/seed", Data: []byte("from the image\n")},
	}
	for _, name := range []string{"sh", "cat", "echo", "sleep", "id", "env", "true", "wget", "httpd", "hostname", "touch", "mkdir", "ls", "pwd", "trap", "ip", "grep", "kill", "test", "ping",
		"ps", "stty", "stat", "df", "dd", "wc", "head", "tail", "mknod", "ln", "rm", "cp", "tr", "readlink", "nc", "cut", "seq", "tar", "find", "tty", "nslookup"} {
		files = append(files, imagebuild.File{Path: "/bin/" + name, Link: "busybox"})
	}
	image, err := imagebuild.Image(v1.Config{Cmd: []string{"sh"}, Env: []string{"FROM=image"}}, files...)
	check(t, err)
	archive := filepath.Join(t.TempDir(), "busybox.tar")
	check(t, imagebuild.WriteArchive(image, "busybox", archive))
	return archive
}
