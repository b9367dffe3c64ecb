package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"dhow/container/oci"
)

// ociCreateFlags are those of create and run.
type ociCreateFlags struct {
	options  oci.Create
	detach   bool
	keep     bool
	noSubrea bool
}

func (c *ociCreateFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&c.options.Bundle, "bundle", "b", "", "directory of config.json; default the current one")
	flags.StringVar(&c.options.ConsoleSocket, "console-socket", "", "unix socket that the terminal's master is sent to")
	flags.StringVar(&c.options.PidFile, "pid-file", "", "file that the first process' number is written to")
	flags.BoolVar(&c.options.NoPivot, "no-pivot", false, "do not use pivot_root, for a machine that runs from a ramdisk")
	flags.BoolVar(&c.options.NoNewKeyring, "no-new-keyring", false, "leave the container the session keyring of its caller")
	flags.IntVar(&c.options.Preserve, "preserve-fds", 0, "number of further descriptors, from 3 on, that the command gets")
}

var ociStreams = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}

// ociListenFDs adds the sockets that a service manager has passed (sd_listen_fds(3)).
func ociListenFDs(preserve int) (int, []string) {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n <= 0 {
		return preserve, nil
	}
	return preserve + n, []string{"LISTEN_FDS=" + strconv.Itoa(n), "LISTEN_PID=1"}
}

func (f *ociFlags) createCommand() *cobra.Command {
	var flags ociCreateFlags
	cmd := f.verb("create CONTAINER", "Make a container, which start then starts", cobra.ExactArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		flags.options.Std = ociStreams
		flags.options.Preserve, flags.options.Env = ociListenFDs(flags.options.Preserve)
		if _, err := r.Create(args[0], flags.options); err != nil {
			return fmt.Errorf("dhow-oci create failed: %w", err)
		}
		return nil
	})
	flags.add(cmd)
	return cmd
}

func (f *ociFlags) runCommand() *cobra.Command {
	var flags ociCreateFlags
	cmd := f.verb("run CONTAINER", "Create a container, start it, and remove it when it has ended", cobra.ExactArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		flags.options.Std = ociStreams
		flags.options.Preserve, flags.options.Env = ociListenFDs(flags.options.Preserve)
		if err := runOCI(r, args[0], &flags); err != nil {
			var code exitStatus
			if errors.As(err, &code) {
				return err
			}
			return fmt.Errorf("dhow-oci run failed: %w", err)
		}
		return nil
	})
	flags.add(cmd)
	cmd.Flags().BoolVarP(&flags.detach, "detach", "d", false, "do not wait for the container's end")
	cmd.Flags().BoolVar(&flags.keep, "keep", false, "do not remove the container when it has ended")
	cmd.Flags().BoolVar(&flags.noSubrea, "no-subreaper", false, "accepted for runc's sake; this program never adopts processes")
	return cmd
}

// runOCI ends as the container does.
func runOCI(r *oci.Runtime, id string, flags *ociCreateFlags) error {
	var front *oci.Foreground
	if !flags.detach {
		terminal, err := oci.HasTerminal(flags.options.Bundle)
		if err != nil {
			return err
		}
		if terminal && flags.options.ConsoleSocket != "" {
			return errors.New("cannot use console socket if runc will not detach or allocate tty")
		}
		if front, err = oci.NewForeground(terminal, ociStreams); err != nil {
			return err
		}
		defer front.Close()
		flags.options.Console = front.Console
	}
	c, err := r.Create(id, flags.options)
	if err != nil {
		return err
	}
	if front != nil {
		if err := front.Attach(); err != nil {
			return errors.Join(err, r.Delete(id, true))
		}
	}
	if err := c.Run(); err != nil {
		return errors.Join(err, r.Delete(id, true))
	}
	if front == nil {
		return nil
	}
	code := front.Wait(c.Pid())
	if !flags.keep {
		if err := r.Delete(id, true); err != nil {
			return err
		}
	}
	return ociEnd(code)
}

func ociEnd(code int) error {
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

// ociExecFlags are exec's.
type ociExecFlags struct {
	options                    oci.Exec
	process, cwd, user         string
	env, caps, cgroups         []string
	groups                     []uint
	tty, detach, noNewPrivs    bool
	appArmor, label, subreaper string
}

func (f *ociFlags) execCommand() *cobra.Command {
	var flags ociExecFlags
	cmd := f.verb("exec CONTAINER COMMAND [ARG...]", "Run a further command in a container", cobra.MinimumNArgs(1), func(r *oci.Runtime, cmd *cobra.Command, args []string) error {
		err := flags.run(r, cmd, args)
		var code exitStatus
		if err != nil && !errors.As(err, &code) {
			return ociFailure{fmt.Errorf("exec failed: %w", err), 255}
		}
		return err
	})
	set := cmd.Flags()
	set.SetInterspersed(false)
	set.StringVarP(&flags.process, "process", "p", "", "file with the command as the process of config.json")
	set.StringVar(&flags.cwd, "cwd", "", "working directory in the container")
	set.StringArrayVarP(&flags.env, "env", "e", nil, "environment variable for the command, NAME=VALUE")
	set.BoolVarP(&flags.tty, "tty", "t", false, "give the command a terminal")
	set.StringVarP(&flags.user, "user", "u", "", "UID[:GID] of the command")
	set.UintSliceVarP(&flags.groups, "additional-gids", "g", nil, "further groups of the command")
	set.BoolVarP(&flags.detach, "detach", "d", false, "do not wait for the command's end")
	set.StringVar(&flags.options.PidFile, "pid-file", "", "file that the command's process number is written to")
	set.StringVar(&flags.options.ConsoleSocket, "console-socket", "", "unix socket that the terminal's master is sent to")
	set.StringArrayVarP(&flags.caps, "cap", "c", nil, "capability that the command has beyond the container's")
	set.StringVar(&flags.appArmor, "apparmor", "", "AppArmor profile of the command")
	set.StringVar(&flags.label, "process-label", "", "SELinux context of the command")
	set.BoolVar(&flags.noNewPrivs, "no-new-privs", false, "the command cannot gain privileges")
	set.IntVar(&flags.options.Preserve, "preserve-fds", 0, "number of further descriptors, from 3 on, that the command gets")
	set.StringArrayVar(&flags.cgroups, "cgroup", nil, "[CONTROLLER[,CONTROLLER...]:]PATH below the container's groups to run in")
	set.BoolVar(&flags.options.IgnorePaused, "ignore-paused", false, "run in a paused container, when it is resumed")
	set.StringVar(&flags.subreaper, "no-subreaper", "", "accepted for runc's sake")
	set.Lookup("no-subreaper").NoOptDefVal = "true"
	return cmd
}

func (x *ociExecFlags) run(r *oci.Runtime, cmd *cobra.Command, args []string) error {
	if x.process == "" && len(args) < 2 {
		return errors.New("process args cannot be empty")
	}
	c, err := r.Container(args[0])
	if err != nil {
		return err
	}
	process, err := x.spec(c, cmd, args[1:])
	if err != nil {
		return err
	}
	x.options.Std = ociStreams
	if x.options.Cgroups, err = oci.Cgroups(x.cgroups); err != nil {
		return err
	}
	if x.detach {
		_, err := r.Exec(c, process, x.options)
		return err
	}
	if x.options.ConsoleSocket != "" {
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	}
	front, err := oci.NewForeground(process.Terminal, ociStreams)
	if err != nil {
		return err
	}
	defer front.Close()
	x.options.Console = front.Console
	pid, err := r.Exec(c, process, x.options)
	if err != nil {
		return err
	}
	if err := front.Attach(); err != nil {
		return err
	}
	return ociEnd(front.Wait(pid))
}

// spec is the file's process, or the container's with what the flags say.
func (x *ociExecFlags) spec(c *oci.Container, cmd *cobra.Command, args []string) (*specs.Process, error) {
	if x.process != "" {
		data, err := os.ReadFile(x.process)
		if err != nil {
			return nil, err
		}
		p := &specs.Process{}
		if err := json.Unmarshal(data, p); err != nil {
			return nil, fmt.Errorf("--process %s: %w", x.process, err)
		}
		return p, nil
	}
	p := c.Process()
	p.Args, p.Terminal = args, x.tty
	p.Env = append(slices.Clone(p.Env), x.env...)
	if x.cwd != "" {
		p.Cwd = x.cwd
	}
	if x.appArmor != "" {
		p.ApparmorProfile = x.appArmor
	}
	if x.label != "" {
		p.SelinuxLabel = x.label
	}
	if cmd.Flags().Changed("no-new-privs") {
		p.NoNewPrivileges = x.noNewPrivs
	}
	for _, g := range x.groups {
		p.User.AdditionalGids = append(slices.Clone(p.User.AdditionalGids), uint32(g))
	}
	p.Capabilities = withOCICapabilities(p.Capabilities, x.caps)
	return &p, setOCIUser(&p.User, x.user)
}

func withOCICapabilities(old *specs.LinuxCapabilities, more []string) *specs.LinuxCapabilities {
	if len(more) == 0 {
		return old
	}
	all := specs.LinuxCapabilities{}
	if old != nil {
		all = *old
	}
	for _, set := range []*[]string{&all.Bounding, &all.Effective, &all.Permitted} {
		*set = append(slices.Clone(*set), more...)
	}
	return &all
}

func setOCIUser(u *specs.User, text string) error {
	if text == "" {
		return nil
	}
	uid, gid, both := strings.Cut(text, ":")
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return fmt.Errorf("--user %q: want UID or UID:GID, as numbers", text)
	}
	u.UID = uint32(n)
	if !both {
		return nil
	}
	if n, err = strconv.ParseUint(gid, 10, 32); err != nil {
		return fmt.Errorf("--user %q: want UID or UID:GID, as numbers", text)
	}
	u.GID = uint32(n)
	return nil
}
