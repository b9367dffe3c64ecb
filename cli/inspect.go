package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/networks"
	"dhow/engine/volumes"
	"dhow/image"
)

func newInspectCommand(env *environment, kind string) *cobra.Command {
	var format string
	var size bool
	cmd := &cobra.Command{
		Use: "inspect [flags] NAME...", Short: "Show everything about containers, images, volumes and networks", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			var things []any
			var failed error
			for _, ref := range args {
				thing, err := inspect(cmd.Context(), service, images, kind, ref, size)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				things = append(things, thing)
			}
			return errors.Join(output.Describe(env.Stdout, format, things), failed)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "'json' or a Go template")
	if kind == "" || kind == "container" {
		cmd.Flags().BoolVarP(&size, "size", "s", false, "with the sizes of containers")
	}
	if kind == "" {
		cmd.Flags().StringVar(&kind, "type", "", "only container, image, volume or network")
	}
	return cmd
}

// inspect looks for a thing of one kind, or of any.
func inspect(ctx context.Context, service *engine.Service, images *image.Store, kind, ref string, size bool) (any, error) {
	switch kind {
	case "container", "":
		c, err := service.Get(ctx, ref)
		var missing *engine.NotFoundError
		if err == nil {
			return describeContainer(ctx, service, c, size)
		}
		if kind != "" || !errors.As(err, &missing) {
			return nil, err
		}
	case "image", "volume", "network":
	default:
		return nil, fmt.Errorf("%q is not a valid value for --type", kind)
	}
	if kind == "image" || kind == "" {
		d, err := images.Inspect(ctx, ref)
		if err == nil {
			return describeImage(d), nil
		}
		if kind != "" {
			return nil, noSuchImage(ref, err)
		}
	}
	if kind == "network" || kind == "" {
		w, err := findNetwork(service, ref)
		if err == nil {
			return describeNetwork(service, w)
		}
		if kind != "" || !errors.Is(err, networks.ErrNotFound) {
			return nil, err
		}
	}
	v, err := service.Volumes().Get(ref)
	if errors.Is(err, volumes.ErrNotFound) && kind == "" {
		return nil, fmt.Errorf("No such object: %s", ref)
	}
	if err != nil {
		return nil, err
	}
	return describeVolume(v), nil
}

// object is a JSON object whose fields have docker's names.
type object map[string]any

func describeContainer(ctx context.Context, service *engine.Service, c *engine.Container, size bool) (any, error) {
	details, err := service.Details(ctx, c)
	if err != nil {
		return nil, err
	}
	pid := 0
	if details != nil {
		pid = details.Pid
	}
	args := append(c.Run.Args(), "")
	state := object{
		"Status": c.State.Status, "Running": c.Alive(), "Paused": c.State.Status == engine.Paused, "Restarting": c.State.Status == engine.Restarting,
		"OOMKilled": c.State.OOM, "Dead": false, "Pid": pid, "ExitCode": c.State.ExitCode, "Error": c.State.Error,
		"StartedAt": c.State.Started.UTC().Format(time.RFC3339Nano), "FinishedAt": c.State.Finished.UTC().Format(time.RFC3339Nano),
	}
	if h := service.HealthState(c); h != nil {
		state["Health"] = object{"Status": h.Status, "FailingStreak": h.FailingStreak, "Log": h.Log}
	}
	o := object{
		"Id": c.ID, "Created": c.Created.UTC().Format(time.RFC3339Nano), "Path": args[0], "Args": args[1 : len(args)-1], "State": state,
		"Image": c.ImageID, "LogPath": service.LogPath(c.ID), "Name": "/" + c.Name, "RestartCount": c.State.Restarts, "Driver": "overlay2",
		"Platform": "linux", "HostConfig": hostConfig(c), "Mounts": describeMounts(c), "Config": containerConfig(c),
		"NetworkSettings": networkSettings(c),
	}
	if size {
		own, total := service.Sizes(ctx, c)
		o["SizeRw"], o["SizeRootFs"] = own, total
	}
	return o, nil
}

func containerConfig(c *engine.Container) object {
	ports := object{}
	for _, p := range c.Run.Exposed {
		ports[fmt.Sprintf("%d/%s", p.Container, p.Protocol)] = object{}
	}
	o := object{
		"Hostname": hostnameOf(c), "Domainname": c.Spec.Domainname, "User": c.Run.User, "Tty": c.Spec.TTY, "OpenStdin": c.Spec.Stdin,
		"StdinOnce": c.Spec.StdinOnce, "Env": c.Run.Env, "Cmd": c.Run.Command, "Image": c.Spec.Image, "WorkingDir": c.Run.WorkingDir,
		"Entrypoint": c.Run.Entrypoint, "Labels": c.Run.Labels, "ExposedPorts": ports, "StopSignal": c.Run.StopSignal,
	}
	if c.Run.Health != nil {
		o["Healthcheck"] = c.Run.Health
	}
	if c.Spec.Extra.StopTimeout != nil {
		o["StopTimeout"] = *c.Spec.Extra.StopTimeout
	}
	return o
}

func hostnameOf(c *engine.Container) string {
	if c.Spec.Hostname != "" {
		return c.Spec.Hostname
	}
	return short(c.ID)
}

func hostConfig(c *engine.Container) object {
	x, r := c.Spec.Extra, c.Spec.Resources
	policy := x.Restart.Policy
	if policy == "" {
		policy = "no"
	}
	var binds []string
	for _, m := range c.Mounts {
		mode := ":rw"
		if m.ReadOnly {
			mode = ":ro"
		}
		binds = append(binds, m.Source+":"+m.Target+mode)
	}
	o := object{
		"Binds": binds, "LogConfig": object{"Type": c.Spec.LogDriver, "Config": c.Spec.LogOpts}, "NetworkMode": c.Spec.NetworkMode,
		"PortBindings": portBindings(c.Spec.Ports), "RestartPolicy": object{"Name": policy, "MaximumRetryCount": x.Restart.MaxRetries},
		"AutoRemove": c.Spec.AutoRemove, "VolumesFrom": c.Spec.VolumesFrom, "CapAdd": c.Spec.CapAdd, "CapDrop": c.Spec.CapDrop,
		"CgroupnsMode": c.Spec.Cgroup, "Dns": c.Spec.DNS, "DnsOptions": c.Spec.DNSOptions, "DnsSearch": c.Spec.DNSSearch,
		"ExtraHosts": c.Spec.ExtraHosts, "GroupAdd": x.Groups, "IpcMode": c.Spec.IPC, "OomScoreAdj": x.OOMScoreAdj, "PidMode": c.Spec.PID,
		"Privileged": c.Spec.Privileged, "PublishAllPorts": c.Spec.PublishAll, "ReadonlyRootfs": c.Spec.ReadOnly, "UTSMode": c.Spec.UTS,
		"UsernsMode": c.Spec.UserNS, "ShmSize": x.ShmSize, "Sysctls": x.Sysctls, "Ulimits": x.Rlimits, "Init": x.Init, "Devices": c.Spec.Devices,
		"MemoryReservation": x.MemoryReservation, "MemorySwap": x.MemorySwap, "PidsLimit": x.PidsLimit, "BlkioWeight": x.BlockIO.Weight,
		"Tmpfs": x.Tmpfs,
	}
	if r != nil {
		o["Memory"], o["CpuShares"], o["CpuPeriod"], o["CpuQuota"] = r.MemoryLimitInBytes, r.CpuShares, r.CpuPeriod, r.CpuQuota
		o["CpusetCpus"], o["CpusetMems"], o["NanoCpus"] = r.CpusetCpus, r.CpusetMems, int64(0)
		if r.CpuPeriod > 0 && r.CpuQuota > 0 {
			o["NanoCpus"] = r.CpuQuota * 1e9 / r.CpuPeriod
		}
	}
	return o
}

func portBindings(ports []engine.Port) object {
	o := object{}
	for _, p := range ports {
		key, ip := fmt.Sprintf("%d/%s", p.Container, p.Protocol), ""
		if p.HostIP.IsValid() {
			ip = p.HostIP.String()
		}
		bound, _ := o[key].([]object)
		o[key] = append(bound, object{"HostIp": ip, "HostPort": fmt.Sprint(p.Host)})
	}
	return o
}

func describeMounts(c *engine.Container) []object {
	all := []object{}
	for _, m := range c.Mounts {
		o := object{"Type": m.Type, "Source": m.Path, "Destination": m.Target, "Mode": "", "RW": !m.ReadOnly, "Propagation": m.Propagation}
		if m.Type == engine.MountVolume {
			o["Name"], o["Driver"] = m.Source, "local"
		}
		all = append(all, o)
	}
	return all
}

func networkSettings(c *engine.Container) object {
	each := object{}
	o := object{"Networks": each, "Ports": object{}, "IPAddress": "", "Gateway": "", "MacAddress": "", "IPPrefixLen": 0}
	for i, n := range c.State.Networks {
		one := object{
			"Aliases": n.Aliases, "NetworkID": n.ID, "Gateway": n.Gateway.String(), "IPAddress": n.IP.Addr().String(), "IPPrefixLen": n.IP.Bits(),
			"MacAddress": n.MAC, "DNSNames": append([]string{c.Name, short(c.ID)}, n.Aliases...),
		}
		each[n.Network] = one
		if i == 0 {
			for _, key := range []string{"IPAddress", "Gateway", "MacAddress", "IPPrefixLen"} {
				o[key] = one[key]
			}
		}
	}
	if len(c.State.Networks) == 0 {
		for _, e := range c.Spec.Networks {
			each[e.Network] = object{"Aliases": e.Aliases, "NetworkID": "", "IPAddress": "", "Gateway": "", "MacAddress": e.MAC}
		}
		if len(c.Spec.Networks) == 0 {
			each[c.Spec.NetworkMode] = object{"IPAddress": ""}
		}
	}
	ports := portBindings(c.State.Ports)
	for _, list := range ports {
		for _, b := range list.([]object) {
			if b["HostIp"] == "" {
				b["HostIp"] = "0.0.0.0"
			}
		}
	}
	o["Ports"] = ports
	return o
}

func describeVolume(v *volumes.Volume) object {
	return object{"CreatedAt": v.Created.Format(time.RFC3339), "Driver": "local", "Labels": v.Labels, "Mountpoint": v.Path, "Name": v.Name, "Options": v.Options, "Scope": "local"}
}

// findNetwork knows none and host, too, which are no networks of ours.
func findNetwork(service *engine.Service, ref string) (*networks.Network, error) {
	if ref == "none" || ref == "host" {
		return &networks.Network{ID: strings.Repeat("0", 63) + map[string]string{"none": "1", "host": "2"}[ref], Name: ref}, nil
	}
	return service.Networks().Get(ref)
}

func describeNetwork(service *engine.Service, w *networks.Network) (any, error) {
	members, err := service.Networks().Members(w.ID)
	if err != nil {
		return nil, err
	}
	containers := object{}
	for id, p := range members {
		name := id
		if c, err := service.Find(id); err == nil {
			name = c.Name
		}
		containers[id] = object{"Name": name, "MacAddress": p.MAC, "IPv4Address": fmt.Sprintf("%s/%d", p.IP, w.Subnet.Bits()), "IPv6Address": ""}
	}
	config := []object{}
	if w.Subnet.IsValid() {
		config = append(config, object{"Subnet": w.Subnet.String(), "Gateway": w.Gateway.String()})
	}
	return object{
		"Name": w.Name, "Id": w.ID, "Created": w.Created.Format(time.RFC3339Nano), "Scope": "local", "Driver": driverOf(w), "EnableIPv6": false,
		"IPAM": object{"Driver": "default", "Config": config}, "Internal": w.Internal, "Attachable": false, "Ingress": false,
		"Containers": containers, "Options": object{"bridge.name": w.Link}, "Labels": w.Labels,
	}, nil
}

func driverOf(w *networks.Network) string {
	switch w.Name {
	case "none":
		return "null"
	case "host":
		return "host"
	}
	return "bridge"
}
