//go:build amd64

package seccomp

import (
	"encoding/binary"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	allow  = unix.SECCOMP_RET_ALLOW
	eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	killed = unix.SECCOMP_RET_KILL_PROCESS
	auditI = unix.AUDIT_ARCH_I386
)

// arm64 is the other architecture, read from its own file, which this build leaves out.
func arm64(t *testing.T) machine {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "zz_numbers_arm64.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := machine{audit: unix.AUDIT_ARCH_AARCH64, foreign: 0x40000000, numbers: map[string]uint32{}}
	ast.Inspect(file, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			name, err := strconv.Unquote(pair.Key.(*ast.BasicLit).Value)
			nr, err2 := strconv.ParseUint(pair.Value.(*ast.BasicLit).Value, 10, 32)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			m.numbers[name] = uint32(nr)
		}
		return true
	})
	return m
}

func amd64() machine { return machine{unix.AUDIT_ARCH_X86_64, foreign, numbers} }

// vm runs a filter as the kernel does. Its loads are big-endian, so data is laid out to suit them.
func vm(t *testing.T, filter []unix.SockFilter) func(arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	var program []bpf.Instruction
	for _, i := range filter {
		program = append(program, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K}.Disassemble())
	}
	machine, err := bpf.NewVM(program)
	if err != nil {
		t.Fatalf("the kernel would refuse it: %v", err)
	}
	return func(arch, nr uint32, args ...uint64) uint32 {
		data := make([]byte, 64)
		binary.BigEndian.PutUint32(data[offNr:], nr)
		binary.BigEndian.PutUint32(data[offArc:], arch)
		for i, arg := range args {
			binary.BigEndian.PutUint32(data[offArg+8*i:], uint32(arg))
			binary.BigEndian.PutUint32(data[offArg+8*i+4:], uint32(arg>>32))
		}
		got, err := machine.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(got)
	}
}

func compiled(t *testing.T, p *specs.LinuxSeccomp, m machine) func(arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	filter, err := compile(p, m)
	if err != nil {
		t.Fatal(err)
	}
	return vm(t, filter)
}

// defaultProfile is the one that containers get.
func defaultProfile(caps []string) (*specs.LinuxSeccomp, error) {
	return seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
}

func defaults(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	p, err := defaultProfile(caps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheDefaultProfileDecidesAlikeOnBothArchitectures(t *testing.T) {
	for arch, m := range map[string]machine{"amd64": amd64(), "arm64": arm64(t)} {
		run, admin := compiled(t, defaults(t), m), compiled(t, defaults(t, "CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_CHROOT"), m)
		for _, c := range []struct {
			name         string
			args         []uint64
			want, admins uint32
		}{
			{"read", nil, allow, allow},
			{"newfstatat", nil, allow, allow},
			{"execve", nil, allow, allow},
			{"openat2", nil, allow, allow},
			{"unshare", nil, eperm, allow},
			{"mount", nil, eperm, allow},
			{"setns", nil, eperm, allow},
			{"bpf", nil, eperm, allow},
			{"chroot", nil, eperm, allow},
			{"clone3", nil, enosys, allow},
			{"clone", []uint64{uint64(unix.SIGCHLD)}, allow, allow},
			{"clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow, allow},
			{"clone", []uint64{unix.CLONE_NEWUSER}, eperm, allow},
			{"clone", []uint64{unix.CLONE_NEWNET | uint64(unix.SIGCHLD)}, eperm, allow},
			{"keyctl", nil, eperm, eperm},
			{"add_key", nil, eperm, eperm},
			{"kexec_load", nil, eperm, eperm},
			{"io_uring_setup", nil, eperm, eperm},
			{"userfaultfd", nil, eperm, eperm},
			{"init_module", nil, eperm, eperm},
			{"personality", []uint64{0}, allow, allow},
			{"personality", []uint64{0xffffffff}, allow, allow},
			{"personality", []uint64{0x0200000}, eperm, eperm},
			{"personality", []uint64{1 << 32}, eperm, eperm},
			{"socket", []uint64{unix.AF_INET}, allow, allow},
			{"socket", []uint64{unix.AF_ALG}, eperm, eperm},
			{"socket", []uint64{unix.AF_VSOCK}, eperm, eperm},
			{"socket", []uint64{unix.AF_ALG + 1}, allow, allow},
			{"socket", []uint64{unix.AF_VSOCK + 1}, allow, allow},
		} {
			nr, known := m.numbers[c.name]
			if !known {
				t.Errorf("%s: %s has no number", arch, c.name)
				continue
			}
			if got := run(m.audit, nr, c.args...); got != c.want {
				t.Errorf("%s: %s%v: action %#x, want %#x", arch, c.name, c.args, got, c.want)
			}
			if got := admin(m.audit, nr, c.args...); got != c.admins {
				t.Errorf("%s: %s%v of an administrator: action %#x, want %#x", arch, c.name, c.args, got, c.admins)
			}
		}
		for what, got := range map[string]uint32{
			"i386's getpid":     run(auditI, 20),
			"x32's getpid":      run(m.audit, 0x40000000|39),
			"the highest call":  run(m.audit, 0xffffffff),
			"the other's write": run(unix.AUDIT_ARCH_AARCH64^unix.AUDIT_ARCH_X86_64^m.audit, 1),
		} {
			if got != eperm {
				t.Errorf("%s: %s: action %#x", arch, what, got)
			}
		}
		if got := run(m.audit, 4000); got != enosys {
			t.Errorf("%s: a call of a later kernel: action %#x", arch, got)
		}
	}
}

func TestADenyListAllowsAllElseButNoWayAround(t *testing.T) {
	m := amd64()
	run := compiled(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}, m)
	for _, c := range []struct {
		what     string
		arch, nr uint32
		want     uint32
	}{
		{"mkdir", m.audit, m.numbers["mkdir"], eperm},
		{"a lower call", m.audit, m.numbers["read"], allow},
		{"a higher call", m.audit, m.numbers["openat"], allow},
		{"a call of a later kernel", m.audit, 4000, allow},
		{"x32's mkdir", m.audit, 0x40000000 | m.numbers["mkdir"], killed},
		{"i386's mkdir", auditI, 39, killed},
	} {
		if got := run(c.arch, c.nr); got != c.want {
			t.Errorf("%s: action %#x, want %#x", c.what, got, c.want)
		}
	}
}

func TestConditionsCompareAllSixtyFourBits(t *testing.T) {
	const big = 5<<32 | 7
	values := []uint64{0, 6, 7, 8, 4<<32 | 8, 5<<32 | 6, big, 5<<32 | 8, 6 << 32, 1<<64 - 1}
	for op, holds := range map[specs.LinuxSeccompOperator]func(v uint64) bool{
		specs.OpEqualTo:      func(v uint64) bool { return v == big },
		specs.OpNotEqual:     func(v uint64) bool { return v != big },
		specs.OpLessThan:     func(v uint64) bool { return v < big },
		specs.OpLessEqual:    func(v uint64) bool { return v <= big },
		specs.OpGreaterThan:  func(v uint64) bool { return v > big },
		specs.OpGreaterEqual: func(v uint64) bool { return v >= big },
		specs.OpMaskedEqual:  func(v uint64) bool { return v&big == 4<<32|6 },
	} {
		first := specs.LinuxSeccompArg{Index: 1, Op: op, Value: big}
		if op == specs.OpMaskedEqual {
			first.ValueTwo = 4<<32 | 6
		}
		second := specs.LinuxSeccompArg{Index: 5, Op: specs.OpEqualTo, Value: 1}
		run := compiled(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"ioctl"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{first, second}},
		}}, amd64())
		for _, v := range append(values, 4<<32|6) {
			want := eperm
			if holds(v) {
				want = allow
			}
			if got := run(auditArch, numbers["ioctl"], 0, v, 0, 0, 0, 1); got != want {
				t.Errorf("%s %#x: action %#x, want %#x", op, v, got, want)
			}
			if got := run(auditArch, numbers["ioctl"], 0, v, 0, 0, 0, 2); got != eperm {
				t.Errorf("%s %#x with the second condition unmet: action %#x", op, v, got)
			}
		}
	}
}

func TestAProfileThatMakesNoSenseIsRefusedInWords(t *testing.T) {
	for want, p := range map[string]*specs.LinuxSeccomp{
		`seccomp profile: action "SCMP_ACT_NOTIFY" is not supported`: {DefaultAction: specs.ActNotify},
		`seccomp profile: argument index 6 is over 5`: {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}},
		}},
		`seccomp profile: operator "SCMP_CMP_ODD" is not supported`: {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_ODD"}}},
		}},
	} {
		if _, err := Compile(p); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
