package build

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"golang.org/x/sys/unix"

	"dhow/image"
)

// configure does the instructions that change nothing but the image's configuration.
func configure(now *state, command instructions.Command) error {
	config := &now.spec.Config
	now.note(text(command), false)
	switch c := command.(type) {
	case *instructions.EnvCommand:
		for _, pair := range c.Env {
			config.Env = setEnv(config.Env, pair.Key, pair.Value)
		}
	case *instructions.LabelCommand:
		if config.Labels == nil {
			config.Labels = map[string]string{}
		}
		for _, pair := range c.Labels {
			config.Labels[pair.Key] = pair.Value
		}
	case *instructions.MaintainerCommand:
		now.spec.Author = c.Maintainer
	case *instructions.CmdCommand:
		config.Cmd, now.cmdSet = commandLine(now, c.ShellDependantCmdLine), true
	case *instructions.EntrypointCommand:
		config.Entrypoint = commandLine(now, c.ShellDependantCmdLine)
		if !now.cmdSet {
			config.Cmd = nil // the base image's is for its own entrypoint
		}
	case *instructions.ShellCommand:
		config.Shell = slices.Clone(c.Shell)
	case *instructions.UserCommand:
		config.User = c.User
	case *instructions.VolumeCommand:
		return declareVolumes(config, c.Volumes)
	case *instructions.ExposeCommand:
		return expose(now, c.Ports)
	case *instructions.StopSignalCommand:
		return setStopSignal(config, c.Signal)
	case *instructions.HealthCheckCommand:
		h := c.Health
		config.Healthcheck = &image.Healthcheck{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	case *instructions.OnbuildCommand:
		config.OnBuild = append(config.OnBuild, c.Expression)
	default:
		return fmt.Errorf("%s is not an instruction that can be built", strings.ToUpper(command.Name()))
	}
	return nil
}

// text is an instruction as the history has it.
func text(command instructions.Command) string {
	if s, ok := command.(fmt.Stringer); ok {
		return s.String()
	}
	return strings.ToUpper(command.Name())
}

func commandLine(now *state, c instructions.ShellDependantCmdLine) []string {
	if c.PrependShell {
		return append(now.shell(), strings.Join(c.CmdLine, " "))
	}
	return slices.Clone(c.CmdLine)
}

func declareVolumes(config *image.RunConfig, volumes []string) error {
	if config.Volumes == nil {
		config.Volumes = map[string]struct{}{}
	}
	for _, v := range volumes {
		if v == "" {
			return errors.New("VOLUME specified can not be an empty string")
		}
		config.Volumes[v] = struct{}{}
	}
	return nil
}

// expose takes ports, ranges of them and protocols: 80, 53/udp, 8000-8002.
func expose(now *state, ports []string) error {
	config := &now.spec.Config
	if config.ExposedPorts == nil {
		config.ExposedPorts = map[string]struct{}{}
	}
	for _, p := range ports {
		numbers, protocol, given := strings.Cut(p, "/")
		if !given {
			protocol = "tcp"
		}
		protocol = strings.ToLower(protocol)
		if !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
			return fmt.Errorf("invalid containerPort: %s: protocol %q is none of tcp, udp and sctp", p, protocol)
		}
		low, high, isRange := strings.Cut(numbers, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || from > to {
			return fmt.Errorf("invalid containerPort: %s", p)
		}
		for n := from; n <= to; n++ {
			config.ExposedPorts[fmt.Sprintf("%d/%s", n, protocol)] = struct{}{}
		}
	}
	return nil
}

// realTime is a signal counted from the first or the last of those for real time.
var realTime = regexp.MustCompile(`^SIG(RTMIN\+|RTMAX-)(\d+)$`)

func setStopSignal(config *image.RunConfig, signal string) error {
	n, err := strconv.Atoi(signal)
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(signal), "SIG")
	if err == nil && (n < 1 || n > 64) || err != nil && unix.SignalNum(name) == 0 && !realTime.MatchString(name) && name != "SIGRTMIN" && name != "SIGRTMAX" {
		return fmt.Errorf("invalid signal: %s", signal)
	}
	config.StopSignal = signal
	return nil
}
