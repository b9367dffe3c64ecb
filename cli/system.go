package cli

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
)

func newSystemCommand(env *environment) *cobra.Command {
	events := newEventsCommand(env)
	return group("system", "Manage all of the engine", newSystemDfCommand(env), newSystemPruneCommand(env), newInfoCommand(env), events)
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
