package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
)

// psOptions choose containers.
type psOptions struct {
	all, latest, noTrunc, size, quiet bool
	last                              int
	filters                           []string
	format                            string
}

func newPsCommand(env *environment) *cobra.Command {
	o := &psOptions{}
	cmd := &cobra.Command{
		Use:     "ps [flags]",
		Aliases: []string{"list"},
		Short:   "List containers, and those of pods on this node",
		Long: `List containers, and those of pods on this node. The names of pods' containers are k8s_CONTAINER_POD_NAMESPACE.

Filters: id, name, label, status, exited, ancestor, volume, network, health, restart-policy, before, since.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listContainers(cmd.Context(), env, o) },
	}
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "also those that do not run")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "only ids")
	cmd.Flags().BoolVarP(&o.latest, "latest", "l", false, "only the newest one")
	cmd.Flags().IntVarP(&o.last, "last", "n", -1, "only the newest N")
	cmd.Flags().BoolVarP(&o.size, "size", "s", false, "with the size of what they have written")
	cmd.Flags().BoolVar(&o.noTrunc, "no-trunc", false, "whole ids and commands")
	cmd.Flags().StringArrayVarP(&o.filters, "filter", "f", nil, "only those that pass, KEY=value")
	cmd.Flags().StringVar(&o.format, "format", "", "table, json, or a Go template")
	return cmd
}

func listContainers(ctx context.Context, env *environment, o *psOptions) error {
	service, _, err := openService(env)
	if err != nil {
		return err
	}
	pods, err := openPods(env)
	if err != nil {
		return err
	}
	pass, err := containerFilter(service, o.filters)
	if err != nil {
		return err
	}
	if o.latest {
		o.last = 1
	}
	statusFilter := slices.ContainsFunc(o.filters, func(f string) bool {
		return strings.HasPrefix(f, "status=") || strings.HasPrefix(f, "exited=")
	})
	list, err := listAll(ctx, service, pods)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(c listed) bool {
		return !o.all && o.last < 0 && !statusFilter && !c.Alive() || !pass(c.Container)
	})
	if o.last >= 0 {
		list = list[:min(o.last, len(list))]
	}
	standard := `{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}`
	if o.size {
		standard += `\t{{.Size}}`
	}
	rows := make([]output.Row, len(list))
	for i, c := range list {
		rows[i] = o.row(ctx, c)
	}
	return printRows(env, o.format, o.quiet, standard, psHeaders, rows)
}

var psHeaders = output.Row{
	"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Ports": "PORTS",
	"State": "STATE", "Status": "STATUS", "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS", "LocalVolumes": "LOCAL VOLUMES",
	"Mounts": "MOUNTS", "Networks": "NETWORKS",
}

// printRows prints a list by its format, or ids only.
func printRows(env *environment, format string, quiet bool, standard string, headers output.Row, rows []output.Row) error {
	if !quiet || format != "" {
		return output.List(env.Stdout, format, standard, headers, rows)
	}
	for _, row := range rows {
		id := row["ID"]
		if id == "" {
			id = row["Name"]
		}
		fmt.Fprintln(env.Stdout, id)
	}
	return nil
}

func (o *psOptions) row(ctx context.Context, l listed) output.Row {
	c := l.Container
	id, command := c.ID, commandText(c, o.noTrunc)
	if !o.noTrunc {
		id = short(id)
	}
	r := output.Row{
		"ID": id, "Image": c.Spec.Image, "Command": command, "CreatedAt": c.Created.Format(dateFormat),
		"RunningFor": output.Ago(c.Created, time.Now()), "Ports": portsText(c), "State": c.State.Status,
		"Status": statusOf(c, l.from.Health(c)), "Names": c.Name, "Labels": joinLabels(c.Run.Labels), "Size": "0B",
	}
	var mounts, networks []string
	for _, m := range c.Mounts {
		source := m.Source
		if runes := []rune(source); !o.noTrunc && len(runes) > 15 {
			source = string(runes[:14]) + "…"
		}
		mounts = append(mounts, source)
	}
	for _, n := range c.Spec.Networks {
		networks = append(networks, n.Network)
	}
	if len(networks) == 0 && !c.Spec.Unconnected && !strings.HasPrefix(c.Spec.NetworkMode, "container:") {
		networks = []string{c.Spec.NetworkMode}
	}
	r["LocalVolumes"], r["Mounts"], r["Networks"] = fmt.Sprint(volumeCount(c)), strings.Join(mounts, ","), strings.Join(networks, ",")
	if o.size {
		own, total := l.from.Sizes(ctx, c)
		r["Size"] = fmt.Sprintf("%s (virtual %s)", output.Size(uint64(own)), output.Size(uint64(total)))
	}
	return r
}

// commandText is a container's command in quotes, cut short unless whole.
func commandText(c *engine.Container, whole bool) string {
	args := c.Run.Args()
	if len(args) == 0 {
		return "" // a list knows none of pods' containers
	}
	for i, arg := range args {
		if i > 0 && strings.Contains(arg, " ") {
			args[i] = "'" + arg + "'"
		}
	}
	command := []rune(strings.Join(args, " "))
	if !whole && len(command) > 20 {
		command = append(command[:19], '…')
	}
	return `"` + string(command) + `"`
}

func volumeCount(c *engine.Container) int {
	n := 0
	for _, m := range c.Mounts {
		if m.Type == engine.MountVolume {
			n++
		}
	}
	return n
}

func joinLabels(labels map[string]string) string {
	var all []string
	for key, value := range labels {
		all = append(all, key+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// portsText is "0.0.0.0:8080->80/tcp, 443/tcp".
func portsText(c *engine.Container) string {
	var all []string
	published := map[string]bool{}
	for _, p := range c.State.Ports {
		all = append(all, fmt.Sprintf("%s->%d/%s", p.Address(), p.Container, p.Protocol))
		published[fmt.Sprintf("%d/%s", p.Container, p.Protocol)] = true
	}
	if c.Alive() {
		for _, p := range c.Run.Exposed {
			if text := fmt.Sprintf("%d/%s", p.Container, p.Protocol); !published[text] {
				all = append(all, text)
			}
		}
	}
	return strings.Join(all, ", ")
}

func short(id string) string { return id[:min(12, len(id))] }

// statusOf is a container's state in docker's words.
func statusOf(c *engine.Container, health string) string {
	switch c.State.Status {
	case engine.Exited:
		return fmt.Sprintf("Exited (%d) %s ago", c.State.ExitCode, since(c.State.Finished.UnixNano()))
	case engine.Created:
		return "Created"
	case engine.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", c.State.ExitCode, since(c.State.Finished.UnixNano()))
	}
	text := "Up " + since(c.State.Started.UnixNano())
	switch {
	case c.State.Status == engine.Paused:
		return text + " (Paused)"
	case health == "starting":
		return text + " (health: starting)"
	case health != "":
		return text + " (" + health + ")"
	}
	return text
}

// since is how long ago a time was, in the words of docker.
func since(nanoseconds int64) string { return output.Duration(time.Since(time.Unix(0, nanoseconds))) }

const dateFormat = "2006-01-02 15:04:05 -0700 MST"
