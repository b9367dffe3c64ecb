package cli

import (
	"context"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/container"
)

func newTopCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "top CONTAINER [ps OPTIONS]", Short: "List the processes of a container",
		Long: `List the processes of a container, as the machine numbers them.

Of ps' options these choose the columns: -ef (also without any), aux, -o NAME[,NAME...].`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			columns, err := psColumns(args[1:])
			if err != nil {
				return err
			}
			list, err := processesOf(cmd.Context(), env, args[0])
			if err != nil {
				return err
			}
			return printProcesses(env, columns, list)
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// processesOf are those of a container of the engine's, or of a pod.
func processesOf(ctx context.Context, env *environment, ref string) ([]container.Process, error) {
	service, _, err := openService(env)
	if err != nil {
		return nil, err
	}
	c, from, err := locate(ctx, service, func() (podContainers, error) { return openPods(env) }, ref)
	if err != nil {
		return nil, err
	}
	return from.Top(ctx, c.ID)
}

// The columns that ps has without -o.
var (
	fullColumns = []string{"uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"}
	userColumns = []string{"user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "command"}
)

// psColumns reads ps' options as far as they choose columns.
func psColumns(options []string) ([]string, error) {
	columns := fullColumns
	var chosen []string
	for i := 0; i < len(options); i++ {
		option := options[i]
		switch flag := strings.TrimLeft(option, "-"); {
		case strings.HasSuffix(flag, "o") && strings.Trim(flag, "axeo") == "" && i+1 < len(options):
			i++
			chosen = append(chosen, strings.FieldsFunc(options[i], func(r rune) bool { return r == ',' || r == ' ' })...)
		case strings.HasPrefix(option, "-o"):
			chosen = append(chosen, strings.Split(option[2:], ",")...)
		case flag == "aux":
			columns = userColumns
		case strings.Trim(flag, "efax") == "":
		default:
			return nil, fmt.Errorf("ps option %q: there are -ef, aux, and -o NAME,...", option)
		}
	}
	if len(chosen) == 0 {
		return columns, nil
	}
	for _, name := range chosen {
		if _, ok := processColumns[name]; !ok {
			return nil, fmt.Errorf("ps has no column %q here", name)
		}
	}
	if !slices.Contains(chosen, "pid") {
		return nil, fmt.Errorf("Couldn't find PID field in ps output")
	}
	return chosen, nil
}

// processColumn is a column of ps: its title and what it says of a process.
type processColumn struct {
	title string
	of    func(p container.Process) string
}

var processColumns = map[string]processColumn{
	"uid": {"UID", userName}, "user": {"USER", userName}, "euser": {"EUSER", userName}, "uname": {"USER", userName},
	"gid": {"GID", func(p container.Process) string { return strconv.Itoa(p.GID) }},
	"pid": {"PID", func(p container.Process) string { return strconv.Itoa(p.PID) }}, "ppid": {"PPID", func(p container.Process) string { return strconv.Itoa(p.PPID) }},
	"c": {"C", func(p container.Process) string { return fmt.Sprintf("%.0f", share(p)) }}, "%cpu": {"%CPU", percent}, "pcpu": {"%CPU", percent},
	"%mem": {"%MEM", memoryShare}, "pmem": {"%MEM", memoryShare},
	"stime": {"STIME", started}, "start": {"START", started}, "start_time": {"START", started},
	"etime": {"ELAPSED", func(p container.Process) string { return clock(time.Since(p.Started)) }},
	"tty":   {"TTY", ttyName}, "tt": {"TT", ttyName}, "time": {"TIME", cpuTime}, "cputime": {"TIME", cpuTime},
	"cmd": {"CMD", commandLine}, "args": {"COMMAND", commandLine}, "command": {"COMMAND", commandLine},
	"comm": {"COMMAND", func(p container.Process) string { return p.Name }}, "ucmd": {"CMD", func(p container.Process) string { return p.Name }},
	"s": {"S", func(p container.Process) string { return p.State }}, "state": {"S", func(p container.Process) string { return p.State }}, "stat": {"STAT", func(p container.Process) string { return p.State }},
	"rss": {"RSS", func(p container.Process) string { return strconv.FormatUint(p.RSS>>10, 10) }}, "vsz": {"VSZ", func(p container.Process) string { return strconv.FormatUint(p.VSize>>10, 10) }},
	"nlwp": {"NLWP", func(p container.Process) string { return strconv.Itoa(p.Threads) }},
}

// userName is the machine's for a user, or the number.
func userName(p container.Process) string {
	id := strconv.Itoa(p.UID)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// share is the part of its life that a process has spent on a processor, in hundredths.
func share(p container.Process) float64 {
	life := time.Since(p.Started)
	if life <= 0 {
		return 0
	}
	return 100 * float64(p.CPU) / float64(life)
}

func percent(p container.Process) string { return fmt.Sprintf("%.1f", share(p)) }

func memoryShare(p container.Process) string {
	all := machineMemory()
	if all == 0 {
		return "0.0"
	}
	return fmt.Sprintf("%.1f", 100*float64(p.RSS)/float64(all))
}

func started(p container.Process) string {
	if time.Since(p.Started) > 24*time.Hour {
		return p.Started.Format("Jan02")
	}
	return p.Started.Format("15:04")
}

func ttyName(p container.Process) string {
	const unix98 = 136 // the major number of pts (Documentation/admin-guide/devices.txt)
	switch major := p.TTY >> 8 & 0xfff; {
	case p.TTY == 0:
		return "?"
	case major >= unix98 && major < unix98+8:
		return fmt.Sprintf("pts/%d", p.TTY&0xff|p.TTY>>12&0xfff00)
	default:
		return "tty"
	}
}

func cpuTime(p container.Process) string { return clock(p.CPU) }

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

func commandLine(p container.Process) string {
	if len(p.Args) == 0 {
		return "[" + p.Name + "]"
	}
	return strings.Join(p.Args, " ")
}

func printProcesses(env *environment, columns []string, list []container.Process) error {
	headers, standard := output.Row{}, ""
	rows := make([]output.Row, len(list))
	for i := range rows {
		rows[i] = output.Row{}
	}
	for n, name := range columns {
		key, column := fmt.Sprintf("Column%d", n), processColumns[name]
		headers[key] = column.title
		standard += "{{." + key + `}}\t`
		for i, p := range list {
			rows[i][key] = column.of(p)
		}
	}
	return output.List(env.Stdout, "", strings.TrimSuffix(standard, `\t`), headers, rows)
}
