package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"dhow/container/oci"
	"dhow/engine/flagtext"
)

// ociUpdate are the flags of update, by name.
type ociUpdate struct {
	resources string
	values    map[string]*string
}

// ociUpdateFlags are its single values, with what they are.
var ociUpdateFlags = []struct{ name, usage string }{
	{"blkio-weight", "block I/O weight, 10 to 1000"}, {"cpu-period", "CPU period in microseconds"}, {"cpu-quota", "CPU time in a period, in microseconds"},
	{"cpu-burst", "CPU time that may be saved up, in microseconds"}, {"cpu-share", "CPU shares beside others"}, {"cpu-rt-period", "realtime period in microseconds"},
	{"cpu-rt-runtime", "realtime CPU time in a period, in microseconds"}, {"cpuset-cpus", "processors, such as 0-3,7"}, {"cpuset-mems", "memory nodes, such as 0,1"},
	{"cpu-idle", "1: run only when nothing else does"}, {"memory", "memory limit in bytes, or with a unit such as 512Mi"}, {"memory-reservation", "soft memory limit"},
	{"memory-swap", "memory and swap together; -1: no limit"}, {"pids-limit", "number of processes; -1: no limit"},
}

func (f *ociFlags) updateCommand() *cobra.Command {
	u := &ociUpdate{values: map[string]*string{}}
	cmd := f.verb("update CONTAINER", "Change a container's limits", cobra.ExactArgs(1), func(r *oci.Runtime, cmd *cobra.Command, args []string) error {
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		resources, err := u.read(cmd)
		if err != nil {
			return err
		}
		return c.Update(resources)
	})
	cmd.Flags().StringVarP(&u.resources, "resources", "r", "", "file with them as linux.resources of config.json; -: standard input")
	for _, flag := range ociUpdateFlags {
		u.values[flag.name] = cmd.Flags().String(flag.name, "", flag.usage)
	}
	return cmd
}

func (u *ociUpdate) read(cmd *cobra.Command) (*specs.LinuxResources, error) {
	r := &specs.LinuxResources{}
	if u.resources != "" {
		in := io.Reader(os.Stdin)
		if u.resources != "-" {
			file, err := os.Open(u.resources)
			if err != nil {
				return nil, err
			}
			defer file.Close()
			in = file
		}
		if err := json.NewDecoder(in).Decode(r); err != nil {
			return nil, fmt.Errorf("--resources %s: %w", u.resources, err)
		}
		return r, nil
	}
	r.Memory, r.CPU, r.BlockIO, r.Pids = &specs.LinuxMemory{}, &specs.LinuxCPU{}, &specs.LinuxBlockIO{}, &specs.LinuxPids{}
	for name, value := range u.values {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if err := setOCILimit(r, name, *value); err != nil {
			return nil, fmt.Errorf("--%s %q: %w", name, *value, err)
		}
	}
	return r, nil
}

// setOCILimit sets what one flag names.
func setOCILimit(r *specs.LinuxResources, name, value string) error {
	for flag, to := range map[string]*string{"cpuset-cpus": &r.CPU.Cpus, "cpuset-mems": &r.CPU.Mems} {
		if name == flag {
			*to = value
			return nil
		}
	}
	number, err := ociBytes(value)
	if err != nil {
		return err
	}
	for flag, to := range map[string]**int64{
		"cpu-quota": &r.CPU.Quota, "cpu-rt-runtime": &r.CPU.RealtimeRuntime, "cpu-idle": &r.CPU.Idle, "memory": &r.Memory.Limit,
		"memory-reservation": &r.Memory.Reservation, "memory-swap": &r.Memory.Swap, "pids-limit": &r.Pids.Limit,
	} {
		if name == flag {
			*to = &number
		}
	}
	unsigned := uint64(number)
	for flag, to := range map[string]**uint64{
		"cpu-period": &r.CPU.Period, "cpu-burst": &r.CPU.Burst, "cpu-share": &r.CPU.Shares, "cpu-rt-period": &r.CPU.RealtimePeriod,
	} {
		if name == flag {
			if number < 0 {
				return fmt.Errorf("cannot be negative")
			}
			*to = &unsigned
		}
	}
	if name == "blkio-weight" {
		weight := uint16(number)
		if number < 0 || number > 1000 {
			return fmt.Errorf("not between 10 and 1000")
		}
		r.BlockIO.Weight = &weight
	}
	return nil
}

// ociBytes reads a number, or a size such as 512Mi.
func ociBytes(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	n, err := flagtext.Bytes(text)
	if err != nil {
		return 0, fmt.Errorf("not a number of bytes such as 1048576 or 512Mi")
	}
	return n, nil
}
