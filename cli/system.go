package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/networks"
)

func newSystemCommand(env *environment) *cobra.Command {
	events := newEventsCommand(env)
	return group("system", "Manage all of the engine", newSystemDfCommand(env), newSystemPruneCommand(env), newInfoCommand(env), events)
}

func newContainerPruneCommand(env *environment) *cobra.Command {
	var force bool
	var flags []string
	cmd := &cobra.Command{
		Use: "prune [flags]", Short: "Remove all containers that do not run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !force && !askYes(env, "WARNING! This will remove all stopped containers.") {
				return nil
			}
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			pass, err := containerFilter(service, flags)
			if err != nil {
				return err
			}
			gone, freed, err := service.Prune(cmd.Context(), pass)
			if len(gone) > 0 {
				fmt.Fprintf(env.Stdout, "Deleted Containers:\n%s\n\n", strings.Join(gone, "\n"))
			}
			fmt.Fprintf(env.Stdout, "Total reclaimed space: %s\n", output.Size(uint64(freed)))
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&flags, "filter", nil, "only those that pass: label, until")
	return cmd
}

func newSystemPruneCommand(env *environment) *cobra.Command {
	var force, all, volumes bool
	cmd := &cobra.Command{
		Use: "prune [flags]", Short: "Remove what is not used: containers, networks, images", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !force && !askYes(env, "WARNING! This will remove all stopped containers, all networks not used by at least one container, and all dangling images.") {
				return nil
			}
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			gone, freed, failed := service.Prune(cmd.Context(), func(*engine.Container) bool { return true })
			if len(gone) > 0 {
				fmt.Fprintf(env.Stdout, "Deleted Containers:\n%s\n\n", strings.Join(gone, "\n"))
			}
			names, err := service.PruneNetworks(func(*networks.Network) bool { return true })
			if failed = errors.Join(failed, err); len(names) > 0 {
				fmt.Fprintf(env.Stdout, "Deleted Networks:\n%s\n\n", strings.Join(names, "\n"))
			}
			if volumes {
				failed = errors.Join(failed, pruneVolumes(cmd.Context(), env, service, false, output.Filters{}))
			}
			o, err := pruneOptions(all, nil, time.Now())
			if err != nil {
				return err
			}
			removed, err := images.Prune(cmd.Context(), o)
			fmt.Fprintf(env.Stdout, "Total reclaimed space: %s\n", output.Size(uint64(freed)+removed.Bytes))
			return errors.Join(failed, err)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "all images that no container uses")
	cmd.Flags().BoolVar(&volumes, "volumes", false, "also anonymous volumes")
	return cmd
}

func newSystemDfCommand(env *environment) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "df [flags]", Short: "Show what takes room on disk", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			list, err := service.List(cmd.Context())
			if err != nil {
				return err
			}
			stored, err := images.List(cmd.Context())
			if err != nil {
				return err
			}
			used, err := images.UsedBytes(cmd.Context())
			if err != nil {
				return err
			}
			volumes, err := service.Volumes().List()
			if err != nil {
				return err
			}
			inUse := map[string]bool{}
			var active, activeVolumes int
			var written, idle, held, free int64
			for _, c := range list {
				inUse[c.ImageID] = true
				own, _ := service.Sizes(cmd.Context(), c)
				written += own
				if c.Alive() {
					active++
				} else {
					idle += own
				}
			}
			for _, v := range volumes {
				users, err := service.VolumeUsers(v.Name)
				if err != nil {
					return err
				}
				size := service.VolumeSize(v)
				held += size
				if len(users) > 0 {
					activeVolumes++
				} else {
					free += size
				}
			}
			row := func(kind string, total, active int, size, reclaimable uint64) output.Row {
				return output.Row{"Type": kind, "TotalCount": fmt.Sprint(total), "Active": fmt.Sprint(active), "Size": output.Size(size), "Reclaimable": output.Size(reclaimable)}
			}
			usedImages := 0
			var unused uint64
			for _, d := range stored {
				if inUse[d.ID] {
					usedImages++
				} else {
					unused += d.Size
				}
			}
			rows := []output.Row{
				row("Images", len(stored), usedImages, used, min(unused, used)), row("Containers", len(list), active, uint64(written), uint64(idle)),
				row("Local Volumes", len(volumes), activeVolumes, uint64(held), uint64(free)),
			}
			headers := output.Row{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
			return output.List(env.Stdout, format, `{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}`, headers, rows)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "table, json, or a Go template")
	return cmd
}

func newInfoCommand(env *environment) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "info [flags]", Short: "Show what the engine and the machine are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			list, err := service.List(cmd.Context())
			if err != nil {
				return err
			}
			stored, err := images.List(cmd.Context())
			if err != nil {
				return err
			}
			count := map[string]int{}
			for _, c := range list {
				count[c.State.Status]++
			}
			host, _ := os.Hostname()
			release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
			groups := "1"
			if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
				groups = "2"
			}
			info := object{
				"Containers": len(list), "ContainersRunning": count[engine.Running] + count[engine.Restarting], "ContainersPaused": count[engine.Paused],
				"ContainersStopped": count[engine.Exited] + count[engine.Created], "Images": len(stored), "Driver": "overlay2", "CgroupDriver": "cgroupfs",
				"CgroupVersion": groups, "KernelVersion": strings.TrimSpace(string(release)), "OSType": "linux", "Architecture": runtime.GOARCH,
				"NCPU": runtime.NumCPU(), "MemTotal": machineMemory(), "Name": host, "DockerRootDir": env.dataDir(), "ServerVersion": version,
				"DefaultRuntime": "dhow", "LiveRestoreEnabled": true,
			}
			if format != "" {
				return output.Describe(env.Stdout, format, []any{info})
			}
			for _, line := range [][2]string{
				{"Containers", "Containers"}, {" Running", "ContainersRunning"}, {" Paused", "ContainersPaused"}, {" Stopped", "ContainersStopped"},
				{"Images", "Images"}, {"Server Version", "ServerVersion"}, {"Storage Driver", "Driver"}, {"Cgroup Driver", "CgroupDriver"},
				{"Cgroup Version", "CgroupVersion"}, {"Default Runtime", "DefaultRuntime"}, {"Kernel Version", "KernelVersion"}, {"OSType", "OSType"},
				{"Architecture", "Architecture"}, {"CPUs", "NCPU"}, {"Name", "Name"}, {"Root Dir", "DockerRootDir"},
			} {
				fmt.Fprintf(env.Stdout, "%s: %v\n", line[0], info[line[1]])
			}
			fmt.Fprintf(env.Stdout, "Total Memory: %s\n", binarySize(machineMemory()))
			return nil
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	return cmd
}

// machineMemory in bytes; 0 if it cannot be told.
func machineMemory() uint64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var kilobytes uint64
		if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}
