package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

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
	fs.StringVar(&f.rootfs, "rootfs", "", "use this directory as the root, in place of an image")
	fs.StringVar(&f.runtime, "runtime", "", "")
	fs.StringVar(&f.isolation, "isolation", "", "")
	f.registerLife(fs)
	f.registerStorage(fs)
	f.registerNetwork(fs)
	f.registerResources(fs)
	f.registerSecurity(fs)
	for _, name := range []string{"runtime", "isolation", "kernel-memory", "link-local-ip", "link", "gpus", "volume-driver"} {
		_ = fs.MarkHidden(name) // known, to be refused with a reason
	}
}

// spec is what the flags and arguments ask for, or everything that is wrong with them.
func (f *containerFlags) spec(env *environment, args []string) (engine.Spec, error) {
	p := &problems{}
	p.refuse(f)
	spec := engine.Spec{
		Hostname: f.hostname, Domainname: f.domainname, User: f.user, WorkingDir: f.workdir, TTY: f.tty, Stdin: f.interactive,
		StdinOnce: f.interactive, AutoRemove: f.rm, VolumesFrom: f.volumesFrom, ReadOnly: f.readOnly, Privileged: f.privileged,
		CapAdd: f.capAdd, CapDrop: f.capDrop, PublishAll: f.publishAll, DNS: f.dns, DNSSearch: f.dnsSearch, DNSOptions: f.dnsOptions,
		PID: f.pid, IPC: f.ipc, UTS: f.uts, Cgroup: f.cgroupns, Annotations: flagtext.Pairs(f.annotations),
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
		"gpus":          "give the devices by --device",
		"volume-driver": "there is the driver local only",
		"cgroup-parent": "the groups of these containers are below dhow's own",
	} {
		if f.changed(flag) {
			p.add(fmt.Errorf("--%s: %s", flag, why))
		}
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

// passEnvironment gives names without a value this program's own; those that it does not have stay without.
func passEnvironment(entries []string) []string {
	all := slices.Clone(entries)
	for i, entry := range all {
		if value, ok := os.LookupEnv(entry); ok && !strings.Contains(entry, "=") {
			all[i] += "=" + value
		}
	}
	return all
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
