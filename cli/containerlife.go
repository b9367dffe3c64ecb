package cli

import (
	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
	"dhow/engine/health"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

func (f *containerFlags) registerLife(fs *pflag.FlagSet) {
	fs.StringVar(&f.restart, "restart", "no", "restart when it ends: no, on-failure[:MAX], always, unless-stopped")
	fs.BoolVar(&f.init, "init", false, "an init in the container passes signals on and reaps orphans")
	fs.StringVar(&f.stopSignal, "stop-signal", "", "signal that stops the container")
	fs.IntVar(&f.stopTimeout, "stop-timeout", 10, "seconds to wait after it before killing")
	fs.StringVar(&f.logDriver, "log-driver", "json-file", "where output is kept: json-file, local or none")
	fs.StringArrayVar(&f.logOpts, "log-opt", nil, "max-size=SIZE, max-file=N")
	fs.StringVar(&f.healthCmd, "health-cmd", "", "command that tells whether the container is healthy")
	fs.DurationVar(&f.healthInterval, "health-interval", 0, "time between checks (default 30s)")
	fs.DurationVar(&f.healthTimeout, "health-timeout", 0, "time that a check may take (default 30s)")
	fs.DurationVar(&f.healthStart, "health-start-period", 0, "time after the start in which failures do not count")
	fs.DurationVar(&f.healthStartInterval, "health-start-interval", 0, "time between checks in the start period (default 5s)")
	fs.IntVar(&f.healthRetries, "health-retries", 0, "failures in a row that make it unhealthy (default 3)")
	fs.BoolVar(&f.noHealth, "no-healthcheck", false, "no health check, also if the image has one")
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
	any := f.healthCmd != "" || f.healthInterval != 0 || f.healthTimeout != 0 || f.healthStart != 0 || f.healthStartInterval != 0 || f.healthRetries != 0
	if f.noHealth {
		if any {
			p.add(errors.New("--no-healthcheck conflicts with --health-* options"))
		}
		spec.Health = &health.Check{Test: []string{"NONE"}}
		return
	}
	if !any {
		return
	}
	for flag, d := range map[string]time.Duration{"health-interval": f.healthInterval, "health-timeout": f.healthTimeout, "health-start-period": f.healthStart, "health-start-interval": f.healthStartInterval} {
		if d < 0 || d > 0 && d < time.Millisecond {
			p.add(fmt.Errorf("--%s cannot be less than 1ms", flag))
		}
	}
	if f.healthRetries < 0 {
		p.add(errors.New("--health-retries cannot be negative"))
	}
	spec.Health = &health.Check{
		Interval: f.healthInterval, Timeout: f.healthTimeout, StartPeriod: f.healthStart, StartInterval: f.healthStartInterval, Retries: f.healthRetries,
	}
	if f.healthCmd != "" {
		spec.Health.Test = []string{"CMD-SHELL", f.healthCmd}
	}
}
