package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
)

func newUpdateCommand(env *environment) *cobra.Command {
	f := &containerFlags{}
	cmd := simple(env, "update [flags] CONTAINER...", "Change the limits and the restart policy of containers", func(ctx context.Context, s *engine.Service, ref string) error {
		p := &problems{}
		var wanted engine.Spec
		f.resources(&wanted, p)
		restart, err := flagtext.Restart(f.restart)
		p.add(err)
		if err := p.err(); err != nil {
			return err
		}
		return s.Update(ctx, ref, func(spec *engine.Spec) error { return f.change(spec, &wanted, restart) })
	})
	cmd.PreRunE = func(*cobra.Command, []string) error {
		any := false
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { any = any || f.Changed })
		if !any {
			return errors.New("you must provide one or more flags when using this command")
		}
		return nil
	}
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.registerResources(all)
	for _, name := range []string{"memory", "memory-swap", "memory-reservation", "cpus", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems", "pids-limit", "blkio-weight"} {
		cmd.Flags().AddFlag(all.Lookup(name))
	}
	cmd.Flags().StringVar(&f.restart, "restart", "", "restart policy")
	f.changed = cmd.Flags().Changed
	return cmd
}

// change takes over what the flags name.
func (f *containerFlags) change(spec, wanted *engine.Spec, restart container.Restart) error {
	if spec.Resources == nil {
		spec.Resources = &cri.LinuxContainerResources{}
	}
	have, want := spec.Resources, wanted.Resources
	for flag, set := range map[string]func(){
		"memory": func() { have.MemoryLimitInBytes = want.MemoryLimitInBytes }, "cpu-shares": func() { have.CpuShares = want.CpuShares },
		"cpus":       func() { have.CpuQuota, have.CpuPeriod = want.CpuQuota, want.CpuPeriod },
		"cpu-period": func() { have.CpuPeriod = want.CpuPeriod }, "cpu-quota": func() { have.CpuQuota = want.CpuQuota },
		"cpuset-cpus": func() { have.CpusetCpus = want.CpusetCpus }, "cpuset-mems": func() { have.CpusetMems = want.CpusetMems },
		"memory-swap":        func() { spec.Extra.MemorySwap = wanted.Extra.MemorySwap },
		"memory-reservation": func() { spec.Extra.MemoryReservation = wanted.Extra.MemoryReservation },
		"pids-limit":         func() { spec.Extra.PidsLimit = wanted.Extra.PidsLimit },
		"blkio-weight":       func() { spec.Extra.BlockIO.Weight = wanted.Extra.BlockIO.Weight },
		"restart":            func() { spec.Extra.Restart = restart },
	} {
		if f.changed(flag) {
			set()
		}
	}
	if swap := spec.Extra.MemorySwap; swap > 0 && have.MemoryLimitInBytes > swap {
		return errors.New("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
	}
	return nil
}
