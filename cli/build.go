package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/assemble"
	"dhow/image/build"
	"dhow/image/build/dockerfile"
	"dhow/image/build/show"
	"dhow/image/names"
)

// buildFlags are docker build's.
type buildFlags struct {
	file, target, platform, progress, network, iidfile, shmSize, memory, memorySwap string
	metadata                                                                        string
	tags, args, labels, secrets, hosts, allow, outputs, ulimits, noCacheFilter      []string
	cacheFrom, cacheTo, ssh, contexts                                               []string
	noCache, pull, quiet, remove, load, push                                        bool
	cpuShares, cpuQuota, cpuPeriod                                                  int64
	cpusetCPUs, cpusetMems                                                          string
}

func newBuildCommand(env *environment) *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "build [OPTIONS] PATH | URL | -",
		Short: "Build an image from a Dockerfile",
		Long: `Build an image from a Dockerfile and a context: a directory, a git repository, a URL of an archive or a Dockerfile, or
"-" for either on standard input.

Steps that have been done before are taken from a cache, which 'dhow builder prune' empties. RUN has an address on the
bridge network, as containers have, unless --network or RUN --network= says otherwise.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, env, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "the Dockerfile (default: PATH/Dockerfile), or - for standard input")
	flags.StringArrayVarP(&f.tags, "tag", "t", nil, "name of the image, NAME[:TAG]")
	flags.StringArrayVar(&f.args, "build-arg", nil, "value of an ARG, NAME=VALUE; NAME alone takes it from the environment")
	flags.StringVar(&f.target, "target", "", "the stage to build, by name or number (default: the last)")
	flags.BoolVar(&f.noCache, "no-cache", false, "do every step anew")
	flags.StringSliceVar(&f.noCacheFilter, "no-cache-filter", nil, "do the steps of these stages anew")
	flags.BoolVar(&f.pull, "pull", false, "ask the registries for newer base images")
	flags.StringArrayVar(&f.labels, "label", nil, "label of the image, KEY=VALUE")
	flags.StringArrayVar(&f.secrets, "secret", nil, "secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE")
	flags.StringArrayVar(&f.contexts, "build-context", nil, "further context, NAME=DIRECTORY, NAME=docker-image://REFERENCE or NAME=URL")
	flags.StringVar(&f.platform, "platform", "", "platform of the image, such as linux/arm64 (default: this machine's)")
	flags.StringVar(&f.progress, "progress", "auto", "how progress is shown: auto, plain, tty, quiet or rawjson")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print only the image's id")
	flags.StringVar(&f.iidfile, "iidfile", "", "write the image's id to this file")
	flags.StringVar(&f.metadata, "metadata-file", "", "write the image's id and names to this file, as JSON")
	flags.BoolVar(&f.push, "push", false, "push the image by its names; as --output type=registry")
	flags.BoolVar(&f.load, "load", false, "no effect: the image comes into the image store unless --output says otherwise")
	flags.StringVar(&f.network, "network", "default", "network of RUN: default, host or none")
	flags.StringArrayVar(&f.hosts, "add-host", nil, "further line of RUN's /etc/hosts, NAME:ADDRESS")
	flags.StringArrayVarP(&f.outputs, "output", "o", nil, "where the result goes: type=docker|oci|tar|local,dest=PATH, type=registry, or a directory (default: the image store)")
	flags.StringArrayVar(&f.allow, "allow", nil, "entitlement of RUN: network.host, security.insecure")
	flags.StringVar(&f.shmSize, "shm-size", "", "size of RUN's /dev/shm, such as 128m")
	flags.StringArrayVar(&f.ulimits, "ulimit", nil, "limit of RUN, NAME=SOFT[:HARD]")
	flags.StringVarP(&f.memory, "memory", "m", "", "memory that a RUN may use, such as 512m")
	flags.StringVar(&f.memorySwap, "memory-swap", "", "memory and swap together; -1: no limit")
	flags.Int64VarP(&f.cpuShares, "cpu-shares", "c", 0, "RUN's share of the processors")
	flags.Int64Var(&f.cpuPeriod, "cpu-period", 0, "microseconds for which --cpu-quota is")
	flags.Int64Var(&f.cpuQuota, "cpu-quota", 0, "microseconds of processor time in each period")
	flags.StringVar(&f.cpusetCPUs, "cpuset-cpus", "", "processors that RUN may use, such as 0-3")
	flags.StringVar(&f.cpusetMems, "cpuset-mems", "", "memory nodes that RUN may use")
	flags.StringArrayVar(&f.cacheFrom, "cache-from", nil, "image whose steps need not be done again, if it was built with --cache-to type=inline")
	flags.StringArrayVar(&f.cacheTo, "cache-to", nil, "type=inline: the image tells how its layers were made")
	flags.StringArrayVar(&f.ssh, "ssh", nil, "agent for RUN --mount=type=ssh: default, or ID=SOCKET")
	flags.BoolVar(&f.remove, "rm", true, "no effect: nothing stays of a build but its image and its cache")
	return cmd
}

func (f *buildFlags) run(cmd *cobra.Command, env *environment, context string) error {
	o, err := f.options(env)
	if err != nil {
		return err
	}
	config, err := nodeConfig(env)
	if err != nil {
		return err
	}
	builder, images, err := assemble.Builder(config)
	if err != nil {
		return err
	}
	if err := f.removeOld(); err != nil {
		return err
	}
	clean, err := f.readContext(cmd.Context(), env, builder, context, &o)
	defer func() { _ = clean() }() // the next build tries again
	if err != nil {
		return err
	}
	mode, err := f.mode(env)
	if err != nil {
		return err
	}
	o.Display = show.New(env.Stderr, mode, func() int { return terminalWidth(env) })
	result, err := builder.Build(cmd.Context(), o)
	o.Display.Close()
	if err != nil {
		return explainBuild(env, err)
	}
	if err := f.report(env, result); err != nil {
		return err
	}
	if !f.push {
		return nil
	}
	for _, tag := range f.tags {
		err = errors.Join(err, push(cmd, env, images, tag, true))
	}
	return err
}

func terminalWidth(env *environment) int {
	if f, ok := env.Stderr.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 80
}

// explainBuild shows what a failed command wrote and the lines of the Dockerfile, as buildkit does.
func explainBuild(env *environment, err error) error {
	var command *build.CommandError
	if errors.As(err, &command) {
		fmt.Fprint(env.Stderr, command.Tail)
	}
	var place *dockerfile.Error
	if errors.As(err, &place) {
		fmt.Fprint(env.Stderr, place.Excerpt())
	}
	return fmt.Errorf("build: %w", err)
}

func (f *buildFlags) mode(env *environment) (show.Mode, error) {
	mode := show.Mode(f.progress)
	if f.quiet {
		mode = show.Quiet
	}
	switch mode {
	case show.Plain, show.Terminal, show.Quiet, show.RawJSON:
		return mode, nil
	case "auto":
		if file, ok := env.Stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			return show.Terminal, nil
		}
		return show.Plain, nil
	}
	return "", usageError{fmt.Errorf("--progress %q: none of auto, plain, tty, quiet and rawjson", f.progress)}
}

// options reads the flags.
func (f *buildFlags) options(env *environment) (build.Options, error) {
	p := &flagParser{}
	o := build.Options{
		Args: map[string]*string{}, Labels: map[string]string{}, Secrets: map[string][]byte{}, Target: f.target, NoCache: f.noCache,
		NoCacheFilter: f.noCacheFilter, Pull: f.pull, Network: f.network, Allow: f.allow, Tags: f.tags,
	}
	f.caches(p, &o)
	o.SSH = f.agents(p)
	o.Platform = f.onePlatform(p)
	if f.network != "default" && f.network != "host" && f.network != "none" {
		p.fail("network", f.network, "none of default, host and none")
	}
	for _, t := range f.tags {
		if _, err := names.Normalize(t); err != nil {
			p.fail("tag", t, err.Error())
		}
	}
	for _, a := range f.allow {
		if a != "network.host" && a != "security.insecure" {
			p.fail("allow", a, "neither network.host nor security.insecure")
		}
	}
	f.pairs(p, &o)
	f.limits(p, &o)
	if inline := o.Args["BUILDKIT_INLINE_CACHE"]; inline != nil && *inline == "1" {
		o.InlineCache = true
	}
	o.Contexts = f.readContexts(p)
	for _, text := range f.secrets {
		id, data, err := readSecret(text)
		if err != nil {
			p.fail("secret", text, err.Error())
		}
		o.Secrets[id] = data
	}
	for _, text := range f.outputs {
		out, push, err := readOutput(env, text)
		if err != nil {
			p.fail("output", text, err.Error())
		}
		o.Outputs, f.push = append(o.Outputs, out), f.push || push
	}
	if f.push && len(f.tags) == 0 {
		p.fail("push", "true", "a name is needed to push: give it by --tag")
	}
	if text, ok := os.LookupEnv("SOURCE_DATE_EPOCH"); ok && o.Args["SOURCE_DATE_EPOCH"] == nil {
		o.Args["SOURCE_DATE_EPOCH"] = &text
	}
	if text := o.Args["SOURCE_DATE_EPOCH"]; text != nil && *text != "" {
		seconds, err := strconv.ParseInt(*text, 10, 64)
		if err != nil {
			p.fail("build-arg", "SOURCE_DATE_EPOCH="+*text, "not a number of seconds since 1970")
		}
		at := time.Unix(seconds, 0).UTC()
		o.Epoch = &at
	}
	return o, p.err()
}

func (f *buildFlags) pairs(p *flagParser, o *build.Options) {
	for _, text := range f.args {
		name, value, given := strings.Cut(text, "=")
		if name == "" {
			p.fail("build-arg", text, "not of the form NAME=VALUE")
			continue
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue
			}
		}
		o.Args[name] = &value
	}
	for _, text := range f.labels {
		key, value, _ := strings.Cut(text, "=")
		if key == "" {
			p.fail("label", text, "not of the form KEY=VALUE")
		}
		o.Labels[key] = value
	}
	for _, text := range f.hosts {
		name, address, ok := strings.Cut(text, ":")
		if !ok {
			name, address, ok = strings.Cut(text, "=")
		}
		if !ok || address != build.HostGateway && !p.addr("add-host", strings.Trim(address, "[]")).IsValid() {
			p.fail("add-host", text, "not of the form NAME:ADDRESS")
		}
		o.Hosts = append(o.Hosts, strings.Trim(address, "[]")+"\t"+name)
	}
}

func (f *buildFlags) limits(p *flagParser, o *build.Options) {
	o.Limits = build.Limits{
		ShmSize: p.buildBytes("shm-size", f.shmSize), Memory: p.buildBytes("memory", f.memory),
		CPUShares: f.cpuShares, CPUQuota: f.cpuQuota, CPUPeriod: f.cpuPeriod, CPUSetCPUs: f.cpusetCPUs, CPUSetMems: f.cpusetMems,
	}
	if f.memorySwap == "-1" {
		o.MemorySwap = -1
	} else {
		o.MemorySwap = p.buildBytes("memory-swap", f.memorySwap)
	}
	for _, text := range f.ulimits {
		name, values, ok := strings.Cut(text, "=")
		soft, hard, two := strings.Cut(values, ":")
		if !two {
			hard = soft
		}
		s, err1 := strconv.ParseInt(soft, 10, 64)
		h, err2 := strconv.ParseInt(hard, 10, 64)
		if !ok || err1 != nil || err2 != nil || h >= 0 && s > h {
			p.fail("ulimit", text, "not of the form NAME=SOFT[:HARD]")
		}
		o.Ulimits = append(o.Ulimits, build.Ulimit{Name: name, Soft: s, Hard: h})
	}
}
