package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
)

// containerFlags are those of run and create.
type containerFlags struct {
	name, cidfile, pull, platform string
	quiet                         bool
	attach                        []string
	detachKeys                    string

	interactive, tty, rm, readOnly, privileged, init, publishAll, noHealth, oomKillDisable bool

	env, envFiles, labels, labelFiles, annotations                                     []string
	volumes, mounts, tmpfs, volumesFrom                                                []string
	publish, expose, networks, aliases, dns, dnsSearch, dnsOptions, hosts              []string
	groups, capAdd, capDrop, security, ulimits, sysctls, devices, deviceRules, logOpts []string
	readBPS, writeBPS, readIOPS, writeIOPS, weightDevices                              []string
	gpus, linkLocal, links                                                             []string

	workdir, user, entrypoint, hostname, domainname, restart, memory, memorySwap, memoryReservation, cpus, cpusetCPUs,
	cpusetMems, userns, pid, ipc, uts, cgroupns, stopSignal, logDriver, shmSize, ip, mac, healthCmd, rootfs, kernelMemory,
	runtime, isolation, cgroupParent, volumeDriver, ip6 string

	cpuShares, cpuQuota, cpuPeriod, pidsLimit, swappiness           int64
	blkioWeight                                                     uint16
	oomScoreAdj, stopTimeout, healthRetries                         int
	healthInterval, healthTimeout, healthStart, healthStartInterval time.Duration
	changed                                                         func(string) bool
}

func (f *containerFlags) register(fs *pflag.FlagSet) {
	f.changed = fs.Changed
	fs.SetInterspersed(false)
	fs.Bool("help", false, "help for this command") // without its letter, which is the host name's
	fs.StringVar(&f.name, "name", "", "name of the container")
	fs.StringVar(&f.cidfile, "cidfile", "", "write the container's id to this file, which must not exist")
	fs.StringVar(&f.pull, "pull", "missing", "pull the image first: always, missing or never")
	fs.StringVar(&f.platform, "platform", "", "platform of the image to pull, such as linux/arm64")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress of pulls")
	fs.StringArrayVarP(&f.attach, "attach", "a", nil, "attach to stdin, stdout or stderr only")
	fs.StringVar(&f.detachKeys, "detach-keys", defaultDetachKeys, "keys that detach from the container")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "keep stdin open")
	fs.BoolVarP(&f.tty, "tty", "t", false, "give the container a terminal")
	fs.BoolVar(&f.rm, "rm", false, "remove the container and its own volumes when it ends")
	fs.StringArrayVarP(&f.env, "env", "e", nil, "environment variable, KEY=value, or KEY to pass this program's on")
	fs.StringArrayVar(&f.envFiles, "env-file", nil, "file of environment variables")
	fs.StringArrayVarP(&f.labels, "label", "l", nil, "label, KEY=value")
	fs.StringArrayVar(&f.labelFiles, "label-file", nil, "file of labels")
	fs.StringArrayVar(&f.annotations, "annotation", nil, "annotation for the container's runtime, KEY=value")
	fs.StringVarP(&f.workdir, "workdir", "w", "", "working directory in the container")
	fs.StringVarP(&f.user, "user", "u", "", "user, by name or number, and group: USER[:GROUP]")
	fs.StringArrayVar(&f.groups, "group-add", nil, "further group, by name or number")
	fs.StringVar(&f.entrypoint, "entrypoint", "", "program in place of the image's entrypoint")
	fs.StringVar(&f.restart, "restart", "no", "restart when it ends: no, on-failure[:MAX], always, unless-stopped")
	fs.BoolVar(&f.init, "init", false, "an init in the container passes signals on and reaps orphans")
	fs.StringVar(&f.stopSignal, "stop-signal", "", "signal that stops the container")
	fs.IntVar(&f.stopTimeout, "stop-timeout", 10, "seconds to wait after it before killing")
	fs.StringVar(&f.rootfs, "rootfs", "", "use this directory as the root, in place of an image")
	fs.StringVar(&f.runtime, "runtime", "", "")
	fs.StringVar(&f.isolation, "isolation", "", "")
	f.registerStorage(fs)
	f.registerNetwork(fs)
	f.registerResources(fs)
	f.registerSecurity(fs)
	fs.StringVar(&f.logDriver, "log-driver", "json-file", "where output is kept: json-file, local or none")
	fs.StringArrayVar(&f.logOpts, "log-opt", nil, "max-size=SIZE, max-file=N")
	fs.StringVar(&f.healthCmd, "health-cmd", "", "command that tells whether the container is healthy")
	fs.DurationVar(&f.healthInterval, "health-interval", 0, "time between checks (default 30s)")
	fs.DurationVar(&f.healthTimeout, "health-timeout", 0, "time that a check may take (default 30s)")
	fs.DurationVar(&f.healthStart, "health-start-period", 0, "time after the start in which failures do not count")
	fs.DurationVar(&f.healthStartInterval, "health-start-interval", 0, "time between checks in the start period (default 5s)")
	fs.IntVar(&f.healthRetries, "health-retries", 0, "failures in a row that make it unhealthy (default 3)")
	fs.BoolVar(&f.noHealth, "no-healthcheck", false, "no health check, also if the image has one")
	for _, name := range []string{"runtime", "isolation", "kernel-memory", "link-local-ip", "link", "gpus", "ip6", "volume-driver"} {
		_ = fs.MarkHidden(name) // known, to be refused with a reason
	}
}

func (f *containerFlags) registerStorage(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount a volume or a directory, [SOURCE:]TARGET[:ro]")
	fs.StringArrayVar(&f.mounts, "mount", nil, "mount, type=bind|volume|tmpfs,source=…,target=…")
	fs.StringArrayVar(&f.tmpfs, "tmpfs", nil, "mount a file system in memory, TARGET[:size=…,mode=…]")
	fs.StringArrayVar(&f.volumesFrom, "volumes-from", nil, "mount what another container has, CONTAINER[:ro]")
	fs.BoolVar(&f.readOnly, "read-only", false, "the root cannot be written to")
	fs.StringVar(&f.shmSize, "shm-size", "", "size of /dev/shm (default 64m)")
	fs.StringVar(&f.volumeDriver, "volume-driver", "", "")
}

func (f *containerFlags) registerNetwork(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a port, [[IP:]HOST:]CONTAINER[/udp]")
	fs.BoolVarP(&f.publishAll, "publish-all", "P", false, "publish all exposed ports to free ones of the host")
	fs.StringArrayVar(&f.expose, "expose", nil, "expose a port or a range")
	fs.StringArrayVar(&f.networks, "network", nil, "none, host, bridge, container:NAME or a network's name")
	fs.StringArrayVar(&f.networks, "net", nil, "the same as --network")
	_ = fs.MarkHidden("net")
	fs.StringArrayVar(&f.aliases, "network-alias", nil, "further name of the container in its network")
	fs.StringVar(&f.ip, "ip", "", "IPv4 address in its network")
	fs.StringVar(&f.ip6, "ip6", "", "")
	fs.StringVar(&f.mac, "mac-address", "", "MAC address in its network")
	fs.StringVarP(&f.hostname, "hostname", "h", "", "host name in the container")
	fs.StringVar(&f.domainname, "domainname", "", "domain name in the container")
	fs.StringArrayVar(&f.dns, "dns", nil, "DNS server")
	fs.StringArrayVar(&f.dnsSearch, "dns-search", nil, "DNS search domain")
	fs.StringArrayVar(&f.dnsOptions, "dns-option", nil, "DNS option")
	fs.StringArrayVar(&f.hosts, "add-host", nil, "line of /etc/hosts, NAME:ADDRESS; the address may be host-gateway")
	fs.StringArrayVar(&f.linkLocal, "link-local-ip", nil, "")
	fs.StringArrayVar(&f.links, "link", nil, "")
}

func (f *containerFlags) registerResources(fs *pflag.FlagSet) {
	fs.StringVarP(&f.memory, "memory", "m", "", "memory limit")
	fs.StringVar(&f.memorySwap, "memory-swap", "", "limit of memory and swap together; -1: no limit")
	fs.StringVar(&f.memoryReservation, "memory-reservation", "", "memory that is left to it when memory is short")
	fs.Int64Var(&f.swappiness, "memory-swappiness", -1, "swappiness, 0 to 100 (cgroup v1)")
	fs.StringVar(&f.kernelMemory, "kernel-memory", "", "")
	fs.StringVar(&f.cpus, "cpus", "", "number of processors")
	fs.Int64VarP(&f.cpuShares, "cpu-shares", "c", 0, "share of processor time; 1024 is usual")
	fs.Int64Var(&f.cpuPeriod, "cpu-period", 0, "period of the scheduler's quota in microseconds")
	fs.Int64Var(&f.cpuQuota, "cpu-quota", 0, "microseconds of processor time in each period")
	fs.StringVar(&f.cpusetCPUs, "cpuset-cpus", "", "processors that may be used, such as 0-2,4")
	fs.StringVar(&f.cpusetMems, "cpuset-mems", "", "memory nodes that may be used")
	fs.Int64Var(&f.pidsLimit, "pids-limit", 0, "processes and threads there may be; -1: no limit")
	fs.Uint16Var(&f.blkioWeight, "blkio-weight", 0, "share of block devices, 10 to 1000")
	fs.StringArrayVar(&f.weightDevices, "blkio-weight-device", nil, "share of one device, PATH:WEIGHT")
	fs.StringArrayVar(&f.readBPS, "device-read-bps", nil, "bytes a second read from a device, PATH:RATE")
	fs.StringArrayVar(&f.writeBPS, "device-write-bps", nil, "bytes a second written to a device, PATH:RATE")
	fs.StringArrayVar(&f.readIOPS, "device-read-iops", nil, "reads a second from a device, PATH:RATE")
	fs.StringArrayVar(&f.writeIOPS, "device-write-iops", nil, "writes a second to a device, PATH:RATE")
	fs.IntVar(&f.oomScoreAdj, "oom-score-adj", 0, "how readily the kernel kills it for want of memory, -1000 to 1000")
	fs.BoolVar(&f.oomKillDisable, "oom-kill-disable", false, "wait for memory in place of being killed (cgroup v1)")
	fs.StringArrayVar(&f.ulimits, "ulimit", nil, "resource limit, TYPE=SOFT[:HARD]")
	fs.StringVar(&f.cgroupParent, "cgroup-parent", "", "")
	_ = fs.MarkHidden("cgroup-parent")
}

func (f *containerFlags) registerSecurity(fs *pflag.FlagSet) {
	fs.BoolVar(&f.privileged, "privileged", false, "all capabilities and devices, no seccomp filter")
	fs.StringArrayVar(&f.capAdd, "cap-add", nil, "add a capability, or ALL")
	fs.StringArrayVar(&f.capDrop, "cap-drop", nil, "drop a capability, or ALL")
	fs.StringArrayVar(&f.security, "security-opt", nil, "no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, label=…, systempaths=unconfined")
	fs.StringArrayVar(&f.devices, "device", nil, "device of the host, HOST[:CONTAINER][:rwm]")
	fs.StringArrayVar(&f.deviceRules, "device-cgroup-rule", nil, "devices that may be made and used, such as 'c 42:* rmw'")
	fs.StringArrayVar(&f.gpus, "gpus", nil, "")
	fs.StringArrayVar(&f.sysctls, "sysctl", nil, "kernel parameter of its namespaces, NAME=VALUE")
	fs.StringVar(&f.userns, "userns", "", "user namespace: host, or auto for one of its own")
	fs.StringVar(&f.pid, "pid", "", "PID namespace: host or container:NAME")
	fs.StringVar(&f.ipc, "ipc", "", "IPC namespace: private, host or container:NAME")
	fs.StringVar(&f.uts, "uts", "", "UTS namespace: host")
	fs.StringVar(&f.cgroupns, "cgroupns", "", "cgroup namespace: private or host")
}

// spec is what the flags and arguments ask for, or everything that is wrong with them.
func (f *containerFlags) spec(env *environment, args []string) (engine.Spec, error) {
	p := &problems{}
	p.refuse(f)
	spec := engine.Spec{
		Hostname: f.hostname, Domainname: f.domainname, User: f.user, WorkingDir: f.workdir, TTY: f.tty, Stdin: f.interactive,
		StdinOnce: f.interactive, AutoRemove: f.rm, VolumesFrom: f.volumesFrom, ReadOnly: f.readOnly, Privileged: f.privileged,
		CapAdd: f.capAdd, CapDrop: f.capDrop, PublishAll: f.publishAll, DNS: f.dns, DNSSearch: f.dnsSearch, DNSOptions: f.dnsOptions,
		PID: f.pid, IPC: f.ipc, UTS: f.uts, UserNS: f.userns, Cgroup: f.cgroupns, Annotations: flagtext.Pairs(f.annotations),
	}
	if f.rootfs != "" {
		path, err := filepath.Abs(f.rootfs)
		p.add(err)
		spec.Extra.RootFS = &container.RootFS{Path: path}
		spec.Image, spec.Command = f.rootfs, args
	} else {
		spec.Image, spec.Command = args[0], args[1:]
	}
	if f.changed("entrypoint") {
		spec.Entrypoint = []string{}
		if f.entrypoint != "" {
			spec.Entrypoint = []string{f.entrypoint}
		}
	}
	f.texts(&spec, p)
	f.storage(&spec, p)
	f.network(&spec, p)
	f.resources(&spec, p)
	f.rights(&spec, p)
	f.running(&spec, p)
	return spec, p.err()
}

// problems gathers what is wrong with a call.
type problems struct{ all []error }

func (p *problems) add(err error) {
	if err != nil {
		p.all = append(p.all, err)
	}
}

func (p *problems) err() error { return errors.Join(p.all...) }

// refuse tells of flags that docker has and that cannot be honoured.
func (p *problems) refuse(f *containerFlags) {
	for flag, why := range map[string]string{
		"runtime":       "containers of this command line always run by dhow's own engine; other OCI runtimes are for pods (RuntimeClass)",
		"isolation":     "it is for Windows only",
		"kernel-memory": "the kernel has no such limit any more",
		"link-local-ip": "bridge networks have no link-local addresses",
		"link":          "containers find each other by name on a network made by 'dhow network create'",
		"ip6":           "bridge networks have IPv4 only",
		"gpus":          "give the devices by --device",
		"volume-driver": "there is the driver local only",
		"cgroup-parent": "the groups of these containers are below dhow's own",
	} {
		if f.changed(flag) {
			p.add(fmt.Errorf("--%s: %s", flag, why))
		}
	}
	if f.healthStartInterval != 0 {
		p.add(errors.New("--health-start-interval: checks have one interval, --health-interval"))
	}
	choice := func(flag, value string, of ...string) {
		name, _, _ := strings.Cut(value, ":")
		if !slices.Contains(append(of, ""), name) {
			p.add(fmt.Errorf("--%s: invalid mode %q: want one of %s", flag, value, strings.Join(of, ", ")))
		}
	}
	choice("pull", f.pull, "always", "missing", "never")
	choice("pid", f.pid, "host", "container", "private")
	choice("ipc", f.ipc, "private", "host", "container", "shareable")
	choice("uts", f.uts, "host", "private")
	choice("cgroupns", f.cgroupns, "private", "host")
	choice("userns", f.userns, "host", "auto", "private")
	choice("log-driver", f.logDriver, "json-file", "local", "none")
}

// texts are the environment and the labels.
func (f *containerFlags) texts(spec *engine.Spec, p *problems) {
	for _, path := range f.envFiles {
		lines, err := flagtext.Lines(path)
		p.add(err)
		spec.Env = append(spec.Env, lines...)
	}
	spec.Env = append(spec.Env, f.env...)
	spec.Env = passEnvironment(spec.Env)
	var labels []string
	for _, path := range f.labelFiles {
		lines, err := flagtext.Lines(path)
		p.add(err)
		labels = append(labels, lines...)
	}
	spec.Labels = flagtext.Pairs(append(labels, f.labels...))
}

// passEnvironment gives names without a value this program's own; those that it does not have are left out.
func passEnvironment(entries []string) []string {
	var all []string
	for _, entry := range entries {
		if !strings.Contains(entry, "=") {
			value, ok := os.LookupEnv(entry)
			if !ok {
				continue
			}
			entry += "=" + value
		}
		all = append(all, entry)
	}
	return all
}

func (f *containerFlags) storage(spec *engine.Spec, p *problems) {
	dir, err := os.Getwd()
	p.add(err)
	for _, text := range f.volumes {
		m, err := flagtext.Volume(text, dir)
		p.add(err)
		spec.Mounts = append(spec.Mounts, m)
	}
	for _, text := range f.mounts {
		m, t, err := flagtext.Mount(text)
		p.add(err)
		if t != nil {
			spec.Extra.Tmpfs = append(spec.Extra.Tmpfs, *t)
			continue
		}
		spec.Mounts = append(spec.Mounts, m)
	}
	for _, text := range f.tmpfs {
		t, err := flagtext.Tmpfs(text)
		p.add(err)
		spec.Extra.Tmpfs = append(spec.Extra.Tmpfs, t)
	}
	spec.Extra.ShmSize = p.bytes("shm-size", f.shmSize)
}

func (p *problems) bytes(flag, text string) int64 {
	if text == "" {
		return 0
	}
	n, err := flagtext.Bytes(text)
	if err != nil {
		p.add(fmt.Errorf("invalid argument %q for \"--%s\" flag: %w", text, flag, err))
	}
	return n
}

// running is how it is started, stopped, logged and checked.
func (f *containerFlags) running(spec *engine.Spec, p *problems) {
	var err error
	spec.Extra.Init, spec.Extra.StopSignal, spec.Extra.Groups = f.init, f.stopSignal, f.groups
	if f.stopSignal != "" {
		_, err = flagtext.Signal(f.stopSignal)
		p.add(err)
	}
	if f.changed("stop-timeout") {
		spec.Extra.StopTimeout = &f.stopTimeout
	}
	spec.Extra.Restart, err = flagtext.Restart(f.restart)
	p.add(err)
	if spec.Extra.Restart.Policy == container.RestartNo {
		spec.Extra.Restart = container.Restart{}
	}
	if f.rm && spec.Extra.Restart.Policy != "" {
		p.add(errors.New("conflicting options: cannot specify both --restart and --rm"))
	}
	spec.LogDriver, spec.LogOpts = f.logDriver, flagtext.Pairs(f.logOpts)
	for key, value := range spec.LogOpts {
		switch key {
		case "max-size":
			spec.Extra.Log.MaxSize = p.bytes("log-opt max-size", value)
		case "max-file":
			spec.Extra.Log.MaxFiles, err = strconv.Atoi(value)
			p.add(err)
		default:
			p.add(fmt.Errorf("unknown log opt '%s' for %s log driver (there are: max-size, max-file)", key, f.logDriver))
		}
	}
	if f.logDriver == "none" && len(f.logOpts) > 0 {
		p.add(errors.New("log driver none has no options"))
	}
	f.health(spec, p)
}

func (f *containerFlags) health(spec *engine.Spec, p *problems) {
	any := f.healthCmd != "" || f.healthInterval != 0 || f.healthTimeout != 0 || f.healthStart != 0 || f.healthRetries != 0
	if f.noHealth {
		if any {
			p.add(errors.New("--no-healthcheck conflicts with --health-* options"))
		}
		spec.Health = &engine.Health{Test: []string{"NONE"}}
		return
	}
	if !any {
		return
	}
	for flag, d := range map[string]time.Duration{"health-interval": f.healthInterval, "health-timeout": f.healthTimeout, "health-start-period": f.healthStart} {
		if d < 0 || d > 0 && d < time.Millisecond {
			p.add(fmt.Errorf("--%s cannot be less than 1ms", flag))
		}
	}
	if f.healthRetries < 0 {
		p.add(errors.New("--health-retries cannot be negative"))
	}
	spec.Health = &engine.Health{Interval: f.healthInterval, Timeout: f.healthTimeout, StartPeriod: f.healthStart, Retries: f.healthRetries}
	if f.healthCmd != "" {
		spec.Health.Test = []string{"CMD-SHELL", f.healthCmd}
	}
}

// limits are CRI's part of the resources.
func (f *containerFlags) limits(p *problems) *cri.LinuxContainerResources {
	r := &cri.LinuxContainerResources{
		MemoryLimitInBytes: p.bytes("memory", f.memory), CpuShares: f.cpuShares, CpuPeriod: f.cpuPeriod, CpuQuota: f.cpuQuota,
		CpusetCpus: f.cpusetCPUs, CpusetMems: f.cpusetMems,
	}
	if f.cpus != "" {
		if f.cpuPeriod != 0 || f.cpuQuota != 0 {
			p.add(errors.New("conflicting options: --cpus and --cpu-period or --cpu-quota cannot both be set"))
		}
		var err error
		r.CpuQuota, err = flagtext.CPUs(f.cpus)
		r.CpuPeriod = 100000
		p.add(err)
	}
	if m := r.MemoryLimitInBytes; m != 0 && m < 6<<20 {
		p.add(errors.New("minimum memory limit allowed is 6MB"))
	}
	return r
}
