package cgroups

import (
	"strings"
	"time"

	library "github.com/opencontainers/cgroups"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Stats are a group's counters, those of what is below it included.
type Stats struct {
	library.Stats
	at int64
}

// Pressure is how much of the time some or all tasks were stalled for want of a resource (psi(5)): averages in percent,
// the total in microseconds.
type Pressure = library.PSIStats

// Stats reads the group's counters.
func (g Group) Stats() (*Stats, error) {
	m, err := g.plain()
	if err != nil {
		return nil, err
	}
	s, err := m.GetStats()
	if err != nil {
		return nil, err
	}
	return &Stats{*s, time.Now().UnixNano()}, nil
}

// noLimit is more than any limit: without one, version 1 tells the greatest number of pages, version 2 that of bytes.
const noLimit = 1 << 62

// MemoryLimit in bytes; 0: none.
func (s *Stats) MemoryLimit() uint64 { return limit(s.MemoryStats.Usage.Limit) }

func limit(n uint64) uint64 {
	if n >= noLimit {
		return 0
	}
	return n
}

// CPU in CRI's words.
func (s *Stats) CPU() *cri.CpuUsage {
	c := s.CpuStats
	return &cri.CpuUsage{Timestamp: s.at, UsageCoreNanoSeconds: value(c.CpuUsage.TotalUsage), Psi: pressure(c.PSI)}
}

// Memory in CRI's words. The working set is what is used and not easily given back: inactive file pages are.
func (s *Stats) Memory() *cri.MemoryUsage {
	stats := s.MemoryStats.Stats
	used, inactive := s.MemoryStats.Usage.Usage, stats["total_inactive_file"]
	if inactive == 0 {
		inactive = stats["inactive_file"]
	}
	working := used - min(inactive, used)
	m := &cri.MemoryUsage{
		Timestamp: s.at, WorkingSetBytes: value(working), UsageBytes: value(used), RssBytes: value(max(stats["total_rss"], stats["anon"])),
		PageFaults: value(stats["pgfault"]), MajorPageFaults: value(stats["pgmajfault"]), Psi: pressure(s.MemoryStats.PSI),
	}
	if l := s.MemoryLimit(); l > 0 {
		m.AvailableBytes = value(l - min(working, l))
	}
	return m
}

// Swap in CRI's words. It tells what is left only where there is a limit; version 1 limits memory and swap together.
func (s *Stats) Swap() *cri.SwapUsage {
	u := &cri.SwapUsage{Timestamp: s.at, SwapUsageBytes: value(s.Swapped())}
	if l := limit(s.MemoryStats.SwapUsage.Limit); l > 0 {
		u.SwapAvailableBytes = value(l - min(s.MemoryStats.SwapUsage.Usage, l))
	}
	return u
}

// IO in CRI's words, which have nothing but pressure.
func (s *Stats) IO() *cri.IoUsage {
	return &cri.IoUsage{Timestamp: s.at, Psi: pressure(s.BlkioStats.PSI)}
}

// Processes in CRI's words: how many there are, threads too.
func (s *Stats) Processes() *cri.ProcessUsage {
	return &cri.ProcessUsage{Timestamp: s.at, ProcessCount: value(s.PidsStats.Current)}
}

// At is when the counters were read, in nanoseconds since 1970.
func (s *Stats) At() int64 { return s.at }

// Swapped is how many bytes are swapped out.
func (s *Stats) Swapped() uint64 {
	m := s.MemoryStats // SwapUsage has memory in it, and is read later than that: it may be less
	return m.SwapUsage.Usage - min(m.Usage.Usage, m.SwapUsage.Usage)
}

// Transferred is what was read from and written to block devices, in bytes and operations.
func (s *Stats) Transferred() (readBytes, writeBytes, reads, writes uint64) {
	readBytes, writeBytes = total(s.BlkioStats.IoServiceBytesRecursive)
	reads, writes = total(s.BlkioStats.IoServicedRecursive)
	return readBytes, writeBytes, reads, writes
}

func total(entries []library.BlkioStatEntry) (read, write uint64) {
	for _, e := range entries {
		switch strings.ToLower(e.Op) {
		case "read":
			read += e.Value
		case "write":
			write += e.Value
		}
	}
	return read, write
}

// pressure is the kernel's as CRI tells it; nil where the kernel does not. Totals are in the kernel's microseconds, which
// other runtimes pass on as they are, too, though CRI speaks of nanoseconds.
func pressure(p *Pressure) *cri.PsiStats {
	if p == nil {
		return nil
	}
	data := func(d library.PSIData) *cri.PsiData {
		return &cri.PsiData{Total: d.Total, Avg10: d.Avg10, Avg60: d.Avg60, Avg300: d.Avg300}
	}
	return &cri.PsiStats{Some: data(p.Some), Full: data(p.Full)}
}

func value(n uint64) *cri.UInt64Value { return &cri.UInt64Value{Value: n} }
