package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"dhow/container/oci"
	signalname "dhow/container/signals"
)

// ociFlags are those that come before the verb.
type ociFlags struct {
	env                 *environment
	root, log           string
	logFormat, rootless string
	debug, systemd      bool
}

func newOCICommand(env *environment) *cobra.Command {
	f := &ociFlags{env: env}
	cmd := &cobra.Command{
		Use:   "oci",
		Short: "Be the OCI runtime of podman, containerd, docker and others",
		Long: `Run containers from OCI bundles, with the verbs and flags of runc.

The same program called dhow-oci (a link to dhow) takes the verbs as they are: 'podman --runtime /usr/local/bin/dhow-oci'.`,
		Version:     fmt.Sprintf("%s\nspec: %s\ngo: %s", version, specs.Version, runtime.Version()),
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "dhow-oci"}, // in what --version says
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return f.misused(cmd, fmt.Errorf("unknown command %q", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(f.misused)
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.root, "root", "", "directory of the containers' states; default "+oci.DefaultRoot)
	flags.StringVar(&f.log, "log", "", "file that errors are appended to as well")
	flags.StringVar(&f.logFormat, "log-format", "text", "format of that file: text or json")
	flags.BoolVar(&f.debug, "debug", false, "log what is done, not only what fails")
	flags.BoolVar(&f.systemd, "systemd-cgroup", false, "have systemd make control groups; cgroupsPath is slice:prefix:name then")
	flags.StringVar(&f.rootless, "rootless", "auto", "accepted for runc's sake: true, false or auto")
	cmd.AddCommand(
		f.createCommand(), f.startCommand(), f.runCommand(), f.execCommand(), f.stateCommand(), f.killCommand(), f.deleteCommand(),
		f.pauseCommand(), f.resumeCommand(), f.listCommand(), f.psCommand(), f.eventsCommand(), f.updateCommand(), f.specCommand(), f.featuresCommand(),
	)
	return cmd
}

// runtime is what the flags ask for.
func (f *ociFlags) runtime() (*oci.Runtime, error) {
	root := f.root
	if root == "" {
		root = filepath.Join(f.env.runDir(), "oci")
	}
	return oci.New(oci.Config{Root: root, SystemdCgroup: f.systemd, Log: slog.New(ociLog{f})})
}

// ociLog writes warnings to the log, and less than those where all is asked for.
type ociLog struct{ flags *ociFlags }

func (l ociLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || l.flags.debug
}

func (l ociLog) Handle(_ context.Context, r slog.Record) error {
	level := strings.ToLower(r.Level.String())
	if r.Level == slog.LevelWarn {
		level = "warning" // logrus' word, which others look for
	}
	l.flags.record(level, r.Message)
	return nil
}

func (l ociLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l ociLog) WithGroup(string) slog.Handler      { return l }

// verb makes a command of a function; what it fails with is told as callers of runc read it.
func (f *ociFlags) verb(use, short string, args cobra.PositionalArgs, run func(r *oci.Runtime, cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return f.misused(cmd, err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.env.usersUmask()
			if f.logFormat != "text" && f.logFormat != "json" {
				return f.misused(cmd, fmt.Errorf("--log-format %q: want text or json", f.logFormat))
			}
			if f.debug {
				f.record("debug", cmd.Name()+" "+fmt.Sprint(args))
			}
			r, err := f.runtime()
			if err == nil {
				err = run(r, cmd, args)
			}
			return f.tell(err)
		},
	}
}

// misused reports a call that cannot be understood; its exit code is 1, as runc's.
func (f *ociFlags) misused(cmd *cobra.Command, err error) error {
	return f.tell(fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath()))
}

// tell reports an error on stderr and in the log. Its exit code is 1, if it has none of its own.
func (f *ociFlags) tell(err error) error {
	var code exitStatus
	if err == nil || errors.As(err, &code) && err == error(code) {
		return err
	}
	f.record("error", err.Error())
	if f.log != "" {
		fmt.Fprintln(f.env.Stderr, err)
	}
	if code != 0 {
		return code
	}
	return exitStatus(1)
}

// record appends to the log, or to stderr where there is none.
func (f *ociFlags) record(level, message string) {
	at := time.Now().Format(time.RFC3339)
	line := fmt.Sprintf("time=%q level=%s msg=%s\n", at, level, strconv.Quote(message))
	if f.logFormat == "json" {
		data, _ := json.Marshal(map[string]string{"level": level, "msg": message, "time": at})
		line = string(data) + "\n"
	}
	if f.log == "" {
		fmt.Fprint(f.env.Stderr, line)
		return
	}
	file, err := os.OpenFile(f.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_SYNC, 0o644)
	if err != nil {
		fmt.Fprintf(f.env.Stderr, "log: %v\n", err)
		return
	}
	defer file.Close()
	_, _ = file.WriteString(line)
}

// ociFailure is an error with an exit code.
type ociFailure struct {
	error
	code exitStatus
}

func (f ociFailure) Unwrap() []error { return []error{f.error, f.code} }

func (f *ociFlags) stateCommand() *cobra.Command {
	return f.verb("state CONTAINER", "Print a container's state", cobra.ExactArgs(1), func(r *oci.Runtime, cmd *cobra.Command, args []string) error {
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		state := struct {
			specs.State
			Rootfs  string    `json:"rootfs"`
			Created time.Time `json:"created"`
			Owner   string    `json:"owner"`
		}{c.State(), c.Rootfs(), c.Created(), ""}
		data, err := json.MarshalIndent(state, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f.env.Stdout, string(data))
		return err
	})
}

func (f *ociFlags) startCommand() *cobra.Command {
	return f.verb("start CONTAINER", "Execute the command of a created container", cobra.ExactArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		return c.Run()
	})
}

func (f *ociFlags) killCommand() *cobra.Command {
	var all bool
	cmd := f.verb("kill CONTAINER [SIGNAL]", "Send a signal to a container's first process (default SIGTERM)", cobra.RangeArgs(1, 2), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		name := "SIGTERM"
		if len(args) > 1 {
			name = args[1]
		}
		signal, err := signalname.Parse(name)
		if err != nil {
			return err
		}
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		return c.Kill(signal, all)
	})
	cmd.Flags().BoolVarP(&all, "all", "a", false, "send it to all processes in the container")
	return cmd
}

func (f *ociFlags) deleteCommand() *cobra.Command {
	var force bool
	cmd := f.verb("delete CONTAINER", "Remove a container that has ended", cobra.ExactArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		return r.Delete(args[0], force)
	})
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill it first if it runs; one that is not there is no error")
	return cmd
}

func (f *ociFlags) pauseCommand() *cobra.Command {
	return f.verb("pause CONTAINER", "Suspend all processes of a container", cobra.ExactArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		return c.Pause()
	})
}

func (f *ociFlags) resumeCommand() *cobra.Command {
	return f.verb("resume CONTAINER", "Let the processes of a paused container go on", cobra.ExactArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		return c.Resume()
	})
}
