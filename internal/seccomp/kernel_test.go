//go:build amd64

package seccomp

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childCaps names, in the environment of a child of these tests, the capabilities that its profile knows of;
// "none" loads no filter at all.
const childCaps = "DHOW_TEST_SECCOMP_CHILD"

func TestMain(m *testing.M) {
	if caps, ok := os.LookupEnv(childCaps); ok {
		if err := confined(caps); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// calls are harmless whether they are let through or not.
var calls = map[string]func() syscall.Errno{
	"getpid":           raw(unix.SYS_GETPID),
	"unshare":          raw(unix.SYS_UNSHARE, unix.CLONE_NEWUTS),
	"keyctl":           raw(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 1),
	"bpf":              raw(unix.SYS_BPF, 0xffff),
	"mount":            raw(unix.SYS_MOUNT),
	"clone3":           raw(unix.SYS_CLONE3),
	"clone user":       raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS),
	"clone":            raw(unix.SYS_CLONE, unix.CLONE_SIGHAND), // EINVAL: it needs CLONE_VM
	"personality":      raw(unix.SYS_PERSONALITY, 0xffffffff),
	"compatible":       raw(unix.SYS_PERSONALITY, 0x0200000),
	"chroot":           raw(unix.SYS_CHROOT),
	"a later kernel's": raw(4000),
	"foreign":          raw(foreign + 39), // x32's getpid
}

func raw(nr uintptr, args ...uintptr) func() syscall.Errno {
	return func() syscall.Errno {
		var a [6]uintptr
		copy(a[:], args)
		_, _, e := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		return e
	}
}

// confined loads the filter into this process for good, makes the calls, and prints what came of them.
func confined(caps string) error {
	runtime.LockOSThread()
	if caps != "none" {
		if err := enter(strings.Fields(caps)); err != nil {
			return err
		}
	}
	results := map[string]syscall.Errno{}
	for name, call := range calls {
		results[name] = call()
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func enter(caps []string) error {
	profile, err := defaultProfile(caps)
	if err != nil {
		return err
	}
	filter, err := Compile(profile)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return fmt.Errorf("the kernel refuses the filter: %w", e)
	}
	return nil
}

// made is what came of the calls in a process with such capabilities.
func made(t *testing.T, caps string) map[string]syscall.Errno {
	t.Helper()
	child := exec.CommandContext(t.Context(), "/proc/self/exe")
	child.Env = append(os.Environ(), childCaps+"="+caps)
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		t.Fatal(err)
	}
	var results map[string]syscall.Errno
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return results
}

func TestTheKernelEnforcesTheDefaultProfile(t *testing.T) {
	free, plain, admin := made(t, "none"), made(t, ""), made(t, "CAP_SYS_ADMIN CAP_BPF CAP_SYS_CHROOT")
	for name, want := range map[string]struct{ plain, admin syscall.Errno }{
		"getpid":           {0, 0},
		"unshare":          {unix.EPERM, free["unshare"]},
		"keyctl":           {unix.EPERM, unix.EPERM},
		"bpf":              {unix.EPERM, free["bpf"]},
		"mount":            {unix.EPERM, free["mount"]},
		"clone3":           {unix.ENOSYS, free["clone3"]},
		"clone user":       {unix.EPERM, free["clone user"]},
		"clone":            {free["clone"], free["clone"]},
		"personality":      {0, 0},
		"compatible":       {unix.EPERM, unix.EPERM},
		"chroot":           {unix.EPERM, free["chroot"]},
		"a later kernel's": {unix.ENOSYS, unix.ENOSYS},
		"foreign":          {unix.EPERM, unix.EPERM},
	} {
		if plain[name] != want.plain || admin[name] != want.admin {
			t.Errorf("%s: %v, and %v for an administrator; want %v and %v", name, plain[name], admin[name], want.plain, want.admin)
		}
	}
	for _, name := range []string{"unshare", "bpf", "mount", "clone3", "clone user", "compatible", "foreign"} {
		if e := free[name]; e == plain[name] {
			t.Errorf("%s gives %v without a filter too: the test proves nothing", name, e)
		}
	}
}
