package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"dhow/container/oci"
)

// ociListed is a line of list, with the names that runc gives it in JSON.
type ociListed struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func (f *ociFlags) listCommand() *cobra.Command {
	var format string
	var quiet bool
	cmd := f.verb("list", "List the containers below --root", cobra.NoArgs, func(r *oci.Runtime, _ *cobra.Command, _ []string) error {
		all, err := r.List()
		if err != nil {
			return err
		}
		lines := []ociListed{}
		for _, c := range all {
			s := c.State()
			lines = append(lines, ociListed{s.Version, s.ID, s.Pid, string(s.Status), s.Bundle, c.Rootfs(), c.Created(), s.Annotations, ociOwner(c)})
		}
		return printOCIList(f.env.Stdout, lines, format, quiet)
	})
	cmd.Flags().StringVarP(&format, "format", "f", "table", "table or json")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only names")
	return cmd
}

func ociOwner(c *oci.Container) string {
	uid := strconv.Itoa(c.Owner())
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}

func printOCIList(out io.Writer, lines []ociListed, format string, quiet bool) error {
	switch {
	case quiet:
		for _, l := range lines {
			fmt.Fprintln(out, l.ID)
		}
		return nil
	case format == "json":
		return json.NewEncoder(out).Encode(lines)
	case format != "table":
		return errors.New("invalid format option: want table or json")
	}
	w := tabwriter.NewWriter(out, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", l.ID, l.Pid, l.Status, l.Bundle, l.Created.Format(time.RFC3339Nano), l.Owner)
	}
	return w.Flush()
}

func (f *ociFlags) psCommand() *cobra.Command {
	var format string
	cmd := f.verb("ps CONTAINER [PS-OPTION...]", "List the processes of a container, by ps(1) or as JSON", cobra.MinimumNArgs(1), func(r *oci.Runtime, _ *cobra.Command, args []string) error {
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		if c.Status() == specs.StateStopped {
			return oci.ErrNotRunning
		}
		pids, err := c.Processes()
		if err != nil {
			return err
		}
		switch format {
		case "json":
			return json.NewEncoder(f.env.Stdout).Encode(pids)
		case "table":
			return ociPsTable(f.env.Stdout, pids, args[1:])
		default:
			return errors.New("invalid format option: want table or json")
		}
	})
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVarP(&format, "format", "f", "table", "table or json")
	return cmd
}

// ociPsTable is what ps(1) says of the processes.
func ociPsTable(out io.Writer, pids []int, args []string) error {
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	data, err := exec.Command("ps", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, data)
	}
	lines := strings.Split(string(data), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return fmt.Errorf("couldn't find PID field in ps output")
	}
	fmt.Fprintln(out, lines[0])
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return fmt.Errorf("unable to parse pid: %w", err)
		}
		if slices.Contains(pids, pid) {
			fmt.Fprintln(out, line)
		}
	}
	return nil
}

func (f *ociFlags) eventsCommand() *cobra.Command {
	var interval time.Duration
	var once bool
	cmd := f.verb("events CONTAINER", "Print a container's use of resources, again and again, and its kills for want of memory", cobra.ExactArgs(1), func(r *oci.Runtime, cmd *cobra.Command, args []string) error {
		if interval <= 0 {
			return errors.New("duration interval must be greater than 0")
		}
		c, err := r.Container(args[0])
		if err != nil {
			return err
		}
		out := json.NewEncoder(f.env.Stdout)
		stats, err := c.Events()
		if err != nil {
			return err
		}
		if err := out.Encode(stats); err != nil || once {
			return err
		}
		tick := time.NewTicker(interval)
		defer tick.Stop()
		return c.Follow(cmd.Context(), tick.C, func(e oci.Event) error { return out.Encode(e) })
	})
	cmd.Flags().DurationVar(&interval, "interval", 5*time.Second, "time between two")
	cmd.Flags().BoolVar(&once, "stats", false, "print the use once, and end")
	return cmd
}

func (f *ociFlags) specCommand() *cobra.Command {
	var bundle string
	var rootless bool
	cmd := f.verb("spec", "Write a config.json to begin with", cobra.NoArgs, func(_ *oci.Runtime, _ *cobra.Command, _ []string) error {
		return writeOCISpec(bundle, oci.Example(rootless))
	})
	cmd.Flags().StringVarP(&bundle, "bundle", "b", "", "directory to write it to; default the current one")
	cmd.Flags().BoolVar(&rootless, "rootless", false, "one for a user who is not root")
	return cmd
}

func writeOCISpec(dir string, spec *specs.Spec) error {
	path := "config.json"
	if dir != "" {
		path = dir + "/config.json"
	}
	data, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("file %s exists. Remove it first", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

func (f *ociFlags) featuresCommand() *cobra.Command {
	return f.verb("features", "Print what this runtime can do, as JSON", cobra.NoArgs, func(_ *oci.Runtime, _ *cobra.Command, _ []string) error {
		out := json.NewEncoder(f.env.Stdout)
		out.SetIndent("", "    ")
		return out.Encode(oci.Features(version))
	})
}
