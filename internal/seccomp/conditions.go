package seccomp

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// test is a block of instructions that returns an action when all its conditions hold, and else runs off its end.
type test struct {
	block []unix.SockFilter
	// onTrue and onFalse are the jumps that leave the block.
	onTrue, onFalse []int
}

func conditions(r rule) ([]unix.SockFilter, error) {
	t := &test{}
	for _, arg := range r.args {
		if err := t.condition(arg); err != nil {
			return nil, err
		}
	}
	t.add(ret, r.action)
	for _, i := range t.onTrue {
		t.block[i].Jt = uint8(len(t.block) - i - 1)
	}
	for _, i := range t.onFalse {
		t.block[i].Jf = uint8(len(t.block) - i - 1)
	}
	return t.block, nil
}

func (t *test) add(code uint16, k uint32) int {
	t.block = append(t.block, unix.SockFilter{Code: code, K: k})
	return len(t.block) - 1
}

// condition compares a 64-bit argument in two halves, the high one first.
func (t *test) condition(a specs.LinuxSeccompArg) error {
	if a.Index > 5 {
		return fmt.Errorf("seccomp profile: argument index %d is over 5", a.Index)
	}
	low := uint32(offArg + 8*a.Index)
	high, value := low+4, a.Value
	hi, lo := uint32(value>>32), uint32(value)
	switch a.Op {
	case specs.OpEqualTo:
		t.add(load, high)
		t.onFalse = append(t.onFalse, t.add(jeq, hi))
		t.add(load, low)
		t.onFalse = append(t.onFalse, t.add(jeq, lo))
	case specs.OpNotEqual:
		t.add(load, high)
		t.block[t.add(jeq, hi)].Jf = 2 // differs: it holds
		t.add(load, low)
		t.onTrue = append(t.onTrue, t.add(jeq, lo))
	case specs.OpMaskedEqual:
		want := a.ValueTwo
		t.add(load, high)
		t.add(mask, hi)
		t.onFalse = append(t.onFalse, t.add(jeq, uint32(want>>32)))
		t.add(load, low)
		t.add(mask, lo)
		t.onFalse = append(t.onFalse, t.add(jeq, uint32(want)))
	case specs.OpLessThan, specs.OpLessEqual:
		t.add(load, high)
		t.onTrue = append(t.onTrue, t.add(jgt, hi))
		t.block[t.add(jeq, hi)].Jf = 2 // smaller: it holds
		t.add(load, low)
		over := uint16(jge)
		if a.Op == specs.OpLessEqual {
			over = jgt
		}
		t.onTrue = append(t.onTrue, t.add(over, lo))
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		t.add(load, high)
		t.block[t.add(jgt, hi)].Jt = 3 // greater: it holds
		t.onFalse = append(t.onFalse, t.add(jeq, hi))
		t.add(load, low)
		over := uint16(jgt)
		if a.Op == specs.OpGreaterEqual {
			over = jge
		}
		t.onFalse = append(t.onFalse, t.add(over, lo))
	default:
		return fmt.Errorf("seccomp profile: operator %q is not supported", a.Op)
	}
	return nil
}
