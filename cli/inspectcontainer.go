package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"dhow/container"
	"dhow/engine"
	"dhow/engine/health"
)

// describeContainer is docker inspect's object, with all of its fields that mean something here.
func describeContainer(ctx context.Context, from roster, c *engine.Container, size bool) (any, error) {
	details, err := from.Details(ctx, c)
	if err != nil {
		return nil, err
	}
	pid := 0
	if details != nil {
		pid = details.Pid
	}
	args := append(c.Run.Args(), "")
	files := from.Files(c)
	o := object{
		"Id": c.ID, "Created": timeText(c.Created), "Path": args[0], "Args": args[1 : len(args)-1], "State": containerState(from, c, pid),
		"Image": c.ImageID, "LogPath": logPath(from, c), "Name": "/" + c.Name, "RestartCount": c.State.Restarts, "Driver": "overlay2",
		"Platform": "linux", "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": c.Spec.AppArmor, "ExecIDs": nil,
		"ResolvConfPath": files["/etc/resolv.conf"], "HostnamePath": files["/etc/hostname"], "HostsPath": files["/etc/hosts"],
		"HostConfig": hostConfig(c), "Mounts": describeMounts(c), "Config": containerConfig(c), "NetworkSettings": networkSettings(c, pid),
		"GraphDriver": object{"Name": "overlay2", "Data": graphData(details)},
	}
	if size {
		own, total := from.Sizes(ctx, c)
		o["SizeRw"], o["SizeRootFs"] = own, total
	}
	return o, nil
}

func timeText(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

func logPath(from roster, c *engine.Container) string {
	if c.Spec.LogDriver == "none" {
		return ""
	}
	return from.LogPath(c.ID)
}

func containerState(from roster, c *engine.Container, pid int) object {
	state := object{
		"Status": c.State.Status, "Running": c.Alive(), "Paused": c.State.Status == engine.Paused, "Restarting": c.State.Status == engine.Restarting,
		"OOMKilled": c.State.OOM, "Dead": false, "Pid": pid, "ExitCode": c.State.ExitCode, "Error": c.State.Error,
		"StartedAt": timeText(c.State.Started), "FinishedAt": timeText(c.State.Finished), "Health": nil,
	}
	if h := from.HealthState(c); h != nil {
		state["Health"] = object{"Status": h.Status, "FailingStreak": h.FailingStreak, "Log": list(h.Log)}
	}
	return state
}

func graphData(d *container.Details) object {
	if d == nil {
		return object{}
	}
	return object{"LowerDir": strings.Join(d.Lower, ":"), "UpperDir": d.Upper}
}

// list is not null when it is empty.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func containerConfig(c *engine.Container) object {
	ports := object{}
	for _, p := range c.Run.Exposed {
		ports[fmt.Sprintf("%d/%s", p.Container, p.Protocol)] = object{}
	}
	volumes := object{}
	for _, path := range c.Run.Volumes {
		volumes[path] = object{}
	}
	o := object{
		"Hostname": hostnameOf(c), "Domainname": c.Spec.Domainname, "User": c.Run.User, "AttachStdin": c.Spec.StdinOnce, "AttachStdout": c.Spec.Attached,
		"AttachStderr": c.Spec.Attached, "Tty": c.Spec.TTY, "OpenStdin": c.Spec.Stdin, "StdinOnce": c.Spec.StdinOnce, "Env": list(c.Run.Env), "Cmd": c.Run.Command,
		"Image": c.Spec.Image, "Volumes": volumes, "WorkingDir": c.Run.WorkingDir, "Entrypoint": c.Run.Entrypoint, "OnBuild": nil,
		"Labels": labelsOf(c.Run.Labels), "ExposedPorts": ports, "StopSignal": c.Run.StopSignal,
	}
	if c.Run.Health != nil {
		o["Healthcheck"] = describeCheck(c.Run.Health)
	}
	if c.Spec.Extra.StopTimeout != nil {
		o["StopTimeout"] = *c.Spec.Extra.StopTimeout
	}
	return o
}

func describeCheck(h *health.Check) object {
	o := object{}
	for key, value := range map[string]int64{
		"Interval": int64(h.Interval), "Timeout": int64(h.Timeout), "StartPeriod": int64(h.StartPeriod), "StartInterval": int64(h.StartInterval), "Retries": int64(h.Retries),
	} {
		if value != 0 {
			o[key] = value
		}
	}
	if len(h.Test) > 0 {
		o["Test"] = h.Test
	}
	return o
}

func hostnameOf(c *engine.Container) string {
	if c.Spec.Hostname != "" {
		return c.Spec.Hostname
	}
	return short(c.ID)
}

func describeMounts(c *engine.Container) []object {
	all := []object{}
	for _, m := range c.Mounts {
		propagation := m.Propagation
		if propagation == "" && m.Type == engine.MountBind {
			propagation = "rprivate"
		}
		o := object{"Type": m.Type, "Source": m.Path, "Destination": m.Target, "Mode": map[string]string{"shared": "z", "private": "Z"}[m.Relabel], "RW": !m.ReadOnly, "Propagation": propagation}
		if m.Type == engine.MountVolume {
			o["Name"], o["Driver"] = m.Source, "local"
		}
		all = append(all, o)
	}
	for _, t := range c.Spec.Extra.Tmpfs {
		all = append(all, object{"Type": "tmpfs", "Source": "", "Destination": t.Target, "Mode": "", "RW": true, "Propagation": ""})
	}
	return all
}

func networkSettings(c *engine.Container, pid int) object {
	each := object{}
	o := object{
		"Networks": each, "SandboxID": c.State.Sandbox, "SandboxKey": "", "Ports": publishedPorts(c), "EndpointID": "", "IPAddress": "", "Gateway": "",
		"MacAddress": "", "IPPrefixLen": 0, "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": "",
	}
	if pid > 0 {
		o["SandboxKey"] = fmt.Sprintf("/proc/%d/ns/net", pid)
	}
	for i, n := range c.State.Networks {
		one := attachment(c, n)
		each[n.Network] = one
		if i > 0 {
			continue
		}
		for key := range o {
			if value, ok := one[key]; ok {
				o[key] = value
			}
		}
	}
	if len(c.State.Networks) > 0 {
		return o
	}
	for _, e := range c.Spec.Networks {
		each[e.Network] = attachment(c, engine.Attachment{Aliases: e.Aliases, MAC: e.MAC})
	}
	if len(c.Spec.Networks) == 0 && !c.Spec.Unconnected && !strings.HasPrefix(c.Spec.NetworkMode, "container:") {
		each[c.Spec.NetworkMode] = attachment(c, engine.Attachment{})
	}
	return o
}

// attachment is a container's place in a network; without addresses while it does not run.
func attachment(c *engine.Container, n engine.Attachment) object {
	one := object{
		"IPAMConfig": nil, "Links": nil, "DriverOpts": nil, "Aliases": n.Aliases, "NetworkID": n.ID, "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
		"IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "MacAddress": n.MAC, "DNSNames": nil,
	}
	if n.IP.IsValid() {
		one["Gateway"], one["IPAddress"], one["IPPrefixLen"] = n.Gateway.String(), n.IP.Addr().String(), n.IP.Bits()
		one["EndpointID"] = endpointID(c.ID, n.ID)
		if n.Network != "bridge" {
			one["DNSNames"] = c.DNSNames(n)
		}
	}
	if n.IP6.IsValid() {
		one["IPv6Gateway"], one["GlobalIPv6Address"], one["GlobalIPv6PrefixLen"] = n.Gateway6.String(), n.IP6.Addr().String(), n.IP6.Bits()
	}
	return one
}

// endpointID names a container's place in a network.
func endpointID(container, network string) string {
	sum := sha256.Sum256([]byte(container + network))
	return hex.EncodeToString(sum[:])
}

// publishedPorts are the exposed ports of a container that runs, with where they are published; null: nowhere.
func publishedPorts(c *engine.Container) object {
	o := object{}
	if !c.Alive() {
		return o
	}
	for _, p := range c.Run.Exposed {
		o[fmt.Sprintf("%d/%s", p.Container, p.Protocol)] = nil
	}
	for key, bound := range portBindings(c.State.Ports) {
		o[key] = bound
	}
	return o
}

func portBindings(ports []engine.Port) object {
	o := object{}
	for _, p := range ports {
		key, ip, host := fmt.Sprintf("%d/%s", p.Container, p.Protocol), "", ""
		if p.HostIP.IsValid() {
			ip = p.HostIP.String()
		}
		if p.Host != 0 {
			host = fmt.Sprint(p.Host)
		}
		if p.Last > p.Host {
			host += fmt.Sprintf("-%d", p.Last)
		}
		bound, _ := o[key].([]object)
		o[key] = append(bound, object{"HostIp": ip, "HostPort": host})
	}
	return o
}
