package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"dhow/container/oci/bundle"
)

// Processes are the numbers of all processes of the container on this machine.
func (c *Container) Processes() ([]int, error) {
	m, err := c.group()
	if err != nil {
		return nil, err
	}
	pids, err := m.GetAllPids()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return pids, err
}

// Pause freezes all processes of a container; Resume lets them go on.
func (c *Container) Pause() error {
	switch status := c.Status(); status {
	case specs.StateRunning, specs.StateCreated:
		return c.freeze(cgroups.Frozen)
	default:
		return fmt.Errorf("container not running or created: %s", status)
	}
}

// Resume is Pause's opposite.
func (c *Container) Resume() error {
	if !c.frozen() {
		return errors.New("container not paused")
	}
	return c.freeze(cgroups.Thawed)
}

func (c *Container) freeze(state cgroups.FreezerState) error {
	m, err := c.group()
	if err != nil {
		return err
	}
	return m.Freeze(state)
}

// Update changes limits while the container is there; what is not set stays.
func (c *Container) Update(r *specs.LinuxResources) error {
	if c.Status() == specs.StateStopped {
		return ErrNotRunning
	}
	wanted, err := bundle.Resources(r)
	if err != nil {
		return err
	}
	if r.Devices != nil {
		wanted.SkipDevices = false
		if wanted.Devices, err = bundle.DeviceRules(r.Devices); err != nil {
			return err
		}
	}
	m, err := c.group()
	if err != nil {
		return err
	}
	return c.setLimits(m, wanted, r)
}

// Stats is what the container has used.
func (c *Container) Stats() (*cgroups.Stats, error) {
	if c.Status() == specs.StateStopped {
		return nil, fmt.Errorf("container with id %s is not running", c.ID)
	}
	m, err := c.group()
	if err != nil {
		return nil, err
	}
	return m.GetStats()
}

// Event is one of a container, with the names that runc gives it in JSON.
type Event struct {
	Type string `json:"type"` // stats or oom
	ID   string `json:"id"`
	Data *Usage `json:"data,omitempty"`
}

// Usage is what a container has used.
type Usage struct {
	CPU     cpuUsage                        `json:"cpu"`
	CPUSet  cgroups.CPUSetStats             `json:"cpuset"`
	Memory  memoryUsage                     `json:"memory"`
	Pids    cgroups.PidsStats               `json:"pids"`
	Blkio   cgroups.BlkioStats              `json:"blkio"`
	Hugetlb map[string]cgroups.HugetlbStats `json:"hugetlb"`
}

type cpuUsage struct {
	Usage struct {
		Total  uint64   `json:"total"`
		PerCPU []uint64 `json:"percpu,omitempty"`
		Kernel uint64   `json:"kernel"`
		User   uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods"`
		ThrottledPeriods uint64 `json:"throttledPeriods"`
		ThrottledTime    uint64 `json:"throttledTime"`
	} `json:"throttling"`
	PSI *cgroups.PSIStats `json:"psi,omitempty"`
}

type memoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type memoryUsage struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     memoryEntry       `json:"usage"`
	Swap      memoryEntry       `json:"swap"`
	Kernel    memoryEntry       `json:"kernel"`
	KernelTCP memoryEntry       `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
	PSI       *cgroups.PSIStats `json:"psi,omitempty"`
}

// Events is what the container has used so far, as an event.
func (c *Container) Events() (Event, error) {
	s, err := c.Stats()
	if err != nil {
		return Event{}, err
	}
	u := &Usage{CPUSet: s.CPUSetStats, Pids: s.PidsStats, Blkio: s.BlkioStats, Hugetlb: s.HugetlbStats}
	u.CPU.Usage.Total, u.CPU.Usage.PerCPU = s.CpuStats.CpuUsage.TotalUsage, s.CpuStats.CpuUsage.PercpuUsage
	u.CPU.Usage.Kernel, u.CPU.Usage.User = s.CpuStats.CpuUsage.UsageInKernelmode, s.CpuStats.CpuUsage.UsageInUsermode
	u.CPU.Throttling.Periods, u.CPU.Throttling.ThrottledPeriods = s.CpuStats.ThrottlingData.Periods, s.CpuStats.ThrottlingData.ThrottledPeriods
	u.CPU.Throttling.ThrottledTime, u.CPU.PSI = s.CpuStats.ThrottlingData.ThrottledTime, s.CpuStats.PSI
	m := s.MemoryStats
	u.Memory = memoryUsage{
		Cache: m.Cache, Raw: m.Stats, PSI: m.PSI, Usage: entry(m.Usage), Swap: entry(m.SwapUsage), Kernel: entry(m.KernelUsage), KernelTCP: entry(m.KernelTCPUsage),
	}
	return Event{Type: "stats", ID: c.ID, Data: u}, nil
}

func entry(m cgroups.MemoryData) memoryEntry {
	return memoryEntry{m.Limit, m.Usage, m.MaxUsage, m.Failcnt}
}

// Follow tells the use at each tick, and each kill for want of memory, until the container or ctx ends.
func (c *Container) Follow(ctx context.Context, tick <-chan time.Time, tell func(Event) error) error {
	m, err := c.group()
	if err != nil {
		return err
	}
	kills, _ := m.OOMKillCount()
	often := time.NewTicker(100 * time.Millisecond)
	defer often.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			e, err := c.Events()
			if err != nil {
				return nil // it has ended
			}
			if err := tell(e); err != nil {
				return err
			}
		case <-often.C:
			now, err := m.OOMKillCount()
			if err == nil && now > kills {
				kills = now
				if err := tell(Event{Type: "oom", ID: c.ID}); err != nil {
					return err
				}
			}
			if !c.alive() {
				return nil
			}
		}
	}
}
