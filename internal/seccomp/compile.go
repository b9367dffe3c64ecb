// Package seccomp compiles OCI seccomp profiles (runtime-spec, config-linux.md, "Seccomp") to the classic BPF that
// seccomp(2) loads. It covers the machine's own architecture; calls of another one are denied.
package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// BPF instruction codes, and where seccomp_data has its fields (linux/seccomp.h).
const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jeq    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jge    = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	jgt    = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	jump   = unix.BPF_JMP | unix.BPF_JA
	mask   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	ret    = unix.BPF_RET | unix.BPF_K
	offNr  = 0
	offArc = 4
	offArg = 16
	// longest is the kernel's limit (BPF_MAXINSNS).
	longest = 4096
)

// machine is one architecture: its calls by name, and the first number of another calling convention.
type machine struct {
	audit   uint32
	foreign uint32
	numbers map[string]uint32
}

// rule is what happens to one call, if its arguments fit.
type rule struct {
	action uint32
	args   []specs.LinuxSeccompArg
}

// span is a stretch of call numbers from first on that the same rules hold for.
type span struct {
	first uint32
	rules []rule
}

// Compile makes the filter of a profile. Names that this architecture does not have are passed over. Of a profile
// that denies by default, numbers beyond every call that it knows fail with ENOSYS, so that programs fall back to
// older calls. Of one that allows by default, calls of another architecture end the process: they would be a way
// around what it denies.
func Compile(p *specs.LinuxSeccomp) ([]unix.SockFilter, error) {
	return compile(p, machine{auditArch, foreign, numbers})
}

func compile(p *specs.LinuxSeccomp, m machine) ([]unix.SockFilter, error) {
	fallback, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	byNumber := map[uint32][]rule{}
	for _, s := range p.Syscalls {
		code, err := action(s.Action, s.ErrnoRet)
		if err != nil {
			return nil, err
		}
		for _, name := range s.Names {
			if nr, known := m.numbers[name]; known {
				byNumber[nr] = append(byNumber[nr], rule{code, s.Args})
			}
		}
	}
	unknown, alien := uint32(unix.SECCOMP_RET_ERRNO)|uint32(unix.ENOSYS), fallback
	if lenient(p.DefaultAction) {
		unknown, alien = fallback, unix.SECCOMP_RET_KILL_PROCESS
	}
	b := &builder{fallback: fallback}
	b.emit(load, 0, 0, offArc)
	b.emit(jeq, 1, 0, m.audit)
	b.emit(ret, 0, 0, alien)
	b.emit(load, 0, 0, offNr)
	all := append(spans(byNumber, fallback, unknown), span{m.foreign, []rule{{action: alien}}})
	if err := b.search(all); err != nil {
		return nil, err
	}
	if len(b.out) > longest {
		return nil, fmt.Errorf("seccomp profile compiles to %d instructions, the kernel takes %d", len(b.out), longest)
	}
	return b.out, nil
}

// lenient actions let a call happen.
func lenient(a specs.LinuxSeccompAction) bool {
	return a == specs.ActAllow || a == specs.ActLog || a == specs.ActTrace
}

func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno) & 0xffff
	}
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActKillThread, specs.ActKill:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	default:
		return 0, fmt.Errorf("seccomp profile: action %q is not supported", a)
	}
}

// spans orders the numbers, and fills the gaps between them with the default action; what comes after the last is
// unknown.
func spans(byNumber map[uint32][]rule, fallback, unknown uint32) []span {
	var nrs []uint32
	for nr := range byNumber {
		nrs = append(nrs, nr)
	}
	slices.Sort(nrs)
	otherwise := []rule{{action: fallback}}
	var all []span
	add := func(first uint32, rules []rule) {
		if n := len(all); n == 0 || !sameAction(all[n-1].rules, rules) {
			all = append(all, span{first, rules})
		}
	}
	next := uint32(0)
	for _, nr := range nrs {
		if nr > next {
			add(next, otherwise)
		}
		add(nr, simplify(byNumber[nr]))
		next = nr + 1
	}
	add(next, []rule{{action: unknown}})
	return all
}

// simplify drops what can no longer matter: conditions beside a rule without any.
func simplify(rules []rule) []rule {
	for _, r := range rules {
		if len(r.args) == 0 {
			return []rule{r}
		}
	}
	return rules
}

func sameAction(a, b []rule) bool {
	return len(a) == 1 && len(b) == 1 && len(a[0].args)+len(b[0].args) == 0 && a[0].action == b[0].action
}

type builder struct {
	out      []unix.SockFilter
	fallback uint32
}

func (b *builder) emit(code uint16, jt, jf uint8, k uint32) {
	b.out = append(b.out, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

// search finds a number's span by halves.
func (b *builder) search(all []span) error {
	if len(all) == 1 {
		return b.leaf(all[0].rules)
	}
	mid := len(all) / 2
	b.emit(jge, 0, 1, all[mid].first)
	over := len(b.out)
	b.emit(jump, 0, 0, 0)
	if err := b.search(all[:mid]); err != nil {
		return err
	}
	b.out[over].K = uint32(len(b.out) - over - 1)
	return b.search(all[mid:])
}

// leaf tries rules in turn.
func (b *builder) leaf(rules []rule) error {
	for _, r := range rules {
		if len(r.args) == 0 {
			b.emit(ret, 0, 0, r.action)
			return nil
		}
		block, err := conditions(r)
		if err != nil {
			return err
		}
		b.out = append(b.out, block...)
	}
	b.emit(ret, 0, 0, b.fallback)
	return nil
}
