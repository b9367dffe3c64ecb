package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/container"
	"dhow/engine"
)

func newStatsCommand(env *environment) *cobra.Command {
	var all, noStream, noTrunc bool
	var format string
	cmd := &cobra.Command{
		Use: "stats [flags] [CONTAINER...]", Short: "Show what containers use of the machine",
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			s := statistics{env: env, service: service, refs: args, all: all, noTrunc: noTrunc, last: map[string]*container.Usage{}}
			if _, err := s.rows(cmd.Context()); err != nil { // processor time is a difference
				return err
			}
			for {
				select {
				case <-time.After(time.Second):
				case <-cmd.Context().Done():
					return nil
				}
				rows, err := s.rows(cmd.Context())
				if err != nil {
					return err
				}
				if !noStream && format != "json" {
					fmt.Fprint(env.Stdout, "\033[H\033[2J")
				}
				if err := output.List(env.Stdout, format, statsTable, statsHeaders, rows); err != nil || noStream {
					return err
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also containers that do not run, which use nothing")
	cmd.Flags().BoolVar(&noStream, "no-stream", false, "once only")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "whole ids")
	cmd.Flags().StringVar(&format, "format", "", "table, json, or a Go template")
	return cmd
}

const statsTable = `{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}`

var statsHeaders = output.Row{"ID": "CONTAINER ID", "Container": "CONTAINER", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %",
	"NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS"}

type statistics struct {
	env     *environment
	service *engine.Service
	refs    []string
	all     bool // also those that do not run, with zeros
	noTrunc bool
	last    map[string]*container.Usage
}

func (s *statistics) rows(ctx context.Context) ([]output.Row, error) {
	pods, err := openPods(s.env)
	if err != nil {
		return nil, err
	}
	list, err := s.containers(ctx, pods)
	if err != nil {
		return nil, err
	}
	used, err := usageOf(ctx, list, s.service, pods)
	if err != nil {
		return nil, err
	}
	var rows []output.Row
	for _, c := range list {
		u := used[c.ID]
		if u == nil && s.all && !c.Alive() {
			u = &container.Usage{}
		} else if u == nil {
			continue // it has just ended
		}
		rows = append(rows, s.row(c.Container, u))
		s.last[c.ID] = u
	}
	return rows, nil
}

// containers are those that were named, or all.
func (s *statistics) containers(ctx context.Context, pods podContainers) ([]listed, error) {
	var list []listed
	for _, ref := range s.refs {
		c, from, err := locate(ctx, s.service, func() (podContainers, error) { return pods, nil }, ref)
		if err != nil {
			return nil, err
		}
		list = append(list, listed{c, from})
	}
	if len(s.refs) > 0 {
		return list, nil
	}
	list, err := listAll(ctx, s.service, pods)
	return slices.DeleteFunc(list, func(c listed) bool { return !s.all && !c.Alive() }), err
}

// usageOf asks each roster for its own.
func usageOf(ctx context.Context, list []listed, rosters ...roster) (map[string]*container.Usage, error) {
	all := map[string]*container.Usage{}
	for _, from := range rosters {
		var own []*engine.Container
		for _, c := range list {
			if c.from == from {
				own = append(own, c.Container)
			}
		}
		used, err := from.Usage(ctx, own)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, used)
	}
	return all, nil
}

func (s *statistics) row(c *engine.Container, u *container.Usage) output.Row {
	processor, memory := 0.0, 0.0
	if last := s.last[c.ID]; last != nil && u.At.After(last.At) {
		processor = 100 * float64(u.CPU-last.CPU) / float64(u.At.Sub(last.At))
	}
	limit := u.MemoryLimit
	if limit == 0 {
		limit = machineMemory()
	}
	if limit > 0 {
		memory = 100 * float64(u.WorkingSet) / float64(limit)
	}
	var received, sent uint64
	for name, l := range u.Networks {
		if name != "lo" {
			received, sent = received+l.RxBytes, sent+l.TxBytes
		}
	}
	id := c.ID
	if !s.noTrunc {
		id = short(id)
	}
	return output.Row{
		"ID": id, "Container": id, "Name": c.Name, "CPUPerc": fmt.Sprintf("%.2f%%", processor), "MemPerc": fmt.Sprintf("%.2f%%", memory),
		"MemUsage": binarySize(u.WorkingSet) + " / " + binarySize(limit), "NetIO": output.Size(received) + " / " + output.Size(sent),
		"BlockIO": output.Size(u.ReadBytes) + " / " + output.Size(u.WriteBytes), "PIDs": fmt.Sprint(u.Pids),
	}
}

// binarySize is a number of bytes in powers of 1024, as docker stats prints memory.
func binarySize(n uint64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	return fmt.Sprintf("%.4g%s", value, unit)
}
