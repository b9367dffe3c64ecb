package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/inside"
)

// extras are what few ask for.
func extras(out *inside.Process, p *specs.Process, linux *specs.Linux) error {
	var err error
	if p.Scheduler != nil {
		if out.Scheduler, err = scheduler(p.Scheduler); err != nil {
			return fmt.Errorf("process.scheduler: %w", err)
		}
	}
	if p.IOPriority != nil {
		if out.IOPriority, err = ioPriority(p.IOPriority); err != nil {
			return fmt.Errorf("process.ioPriority: %w", err)
		}
	}
	if linux == nil {
		return nil
	}
	if linux.Personality != nil {
		if out.Personality, err = personality(linux.Personality); err != nil {
			return fmt.Errorf("linux.personality: %w", err)
		}
	}
	if linux.MemoryPolicy != nil {
		if out.MemoryPolicy, err = memoryPolicy(linux.MemoryPolicy); err != nil {
			return fmt.Errorf("linux.memoryPolicy: %w", err)
		}
	}
	return nil
}

func personality(p *specs.LinuxPersonality) (*uint64, error) {
	if len(p.Flags) > 0 {
		return nil, errors.New("flags are not supported")
	}
	var value uint64
	switch p.Domain {
	case specs.PerLinux:
	case specs.PerLinux32:
		value = 8
	default:
		return nil, fmt.Errorf("domain %q: want LINUX or LINUX32", p.Domain)
	}
	return &value, nil
}

// ioPriority is the class and the level in one number (ioprio_set(2)).
func ioPriority(p *specs.LinuxIOPriority) (*int, error) {
	class := slices.Index([]specs.IOPriorityClass{"", specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}, p.Class)
	if class < 1 {
		return nil, fmt.Errorf("class %q is unknown", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		return nil, fmt.Errorf("priority %d is not between 0 and 7", p.Priority)
	}
	value := class<<13 | p.Priority
	return &value, nil
}

var policies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 1, specs.SchedFlagReclaim: 2, specs.SchedFlagDLOverrun: 4, specs.SchedFlagKeepPolicy: 8,
	specs.SchedFlagKeepParams: 16, specs.SchedFlagUtilClampMin: 32, specs.SchedFlagUtilClampMax: 64,
}

func scheduler(s *specs.Scheduler) (*unix.SchedAttr, error) {
	policy, known := policies[s.Policy]
	if !known {
		return nil, fmt.Errorf("policy %q is unknown", s.Policy)
	}
	if s.Nice < -20 || s.Nice > 19 {
		return nil, fmt.Errorf("nice %d is not between -20 and 19", s.Nice)
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	if s.Priority != 0 && !realtime {
		return nil, errors.New("priority is for SCHED_FIFO and SCHED_RR only")
	}
	if (s.Runtime|s.Deadline|s.Period) != 0 && s.Policy != specs.SchedDeadline {
		return nil, errors.New("runtime, deadline and period are for SCHED_DEADLINE only")
	}
	a := &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for _, f := range s.Flags {
		bit, known := schedulerFlags[f]
		if !known {
			return nil, fmt.Errorf("flag %q is unknown", f)
		}
		a.Flags |= bit
	}
	return a, nil
}

var (
	memoryModes = map[specs.MemoryPolicyModeType]int{
		specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3, specs.MpolLocal: 4,
		specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
	}
	memoryFlags = map[specs.MemoryPolicyFlagType]int{
		specs.MpolFStaticNodes: 1 << 15, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFNumaBalancing: 1 << 13,
	}
)

func memoryPolicy(m *specs.LinuxMemoryPolicy) (*inside.MemoryPolicy, error) {
	mode, known := memoryModes[m.Mode]
	if !known {
		return nil, fmt.Errorf("mode %q is unknown", m.Mode)
	}
	out := &inside.MemoryPolicy{Mode: mode}
	for _, f := range m.Flags {
		bit, known := memoryFlags[f]
		if !known {
			return nil, fmt.Errorf("flag %q is unknown", f)
		}
		out.Mode |= bit
	}
	nodes, err := List(m.Nodes)
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	for _, n := range nodes {
		for len(out.Nodes) <= n/64 {
			out.Nodes = append(out.Nodes, 0)
		}
		out.Nodes[n/64] |= 1 << (n % 64)
	}
	return out, nil
}

// List reads numbers and ranges, as in "0-3,7".
func List(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(low, 10, 10)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(high, 10, 10)
		}
		if err != nil || last < first {
			return nil, fmt.Errorf("%q is not a number or a range such as 0-3", part)
		}
		for n := first; n <= last; n++ {
			all = append(all, int(n))
		}
	}
	return all, nil
}
