package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

func newLogsCommand(env *environment) *cobra.Command {
	var follow, timestamps bool
	tail := -1
	cmd := &cobra.Command{
		Use:   "logs CONTAINER",
		Short: "Print what a container on this node has written",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := openEngine(env)
			if err != nil {
				return err
			}
			found, err := findContainer(cmd.Context(), engine, args[0])
			if err != nil {
				return err
			}
			status, err := engine.ContainerStatus(cmd.Context(), found.Id)
			if err != nil {
				return err
			}
			p := &logPrinter{out: env.Stdout, errs: env.Stderr, timestamps: timestamps}
			return p.print(cmd.Context(), engine, status, tail, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as more is written")
	cmd.Flags().BoolVarP(&timestamps, "timestamps", "t", false, "with the time of each line")
	cmd.Flags().IntVarP(&tail, "tail", "n", -1, "only so many of the last lines")
	return cmd
}

// logPrinter turns a log in CRI format back into the container's two streams.
type logPrinter struct {
	out, errs  io.Writer
	timestamps bool
	rest       string // of a line that is not whole yet
}

func (p *logPrinter) print(ctx context.Context, engine *container.Engine, status *cri.ContainerStatus, tail int, follow bool) error {
	if status.LogPath == "" {
		return fmt.Errorf("container %s keeps no log", short(status.Id))
	}
	f, err := os.Open(status.LogPath)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	if tail >= 0 {
		if err := seekTail(f, tail); err != nil {
			return err
		}
	}
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := r.ReadString('\n')
		p.rest += line
		if err == nil {
			p.line(strings.TrimSuffix(p.rest, "\n"))
			p.rest = ""
			continue
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read log: %w", err)
		}
		if !follow || !running(ctx, engine, status.Id) {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

func running(ctx context.Context, engine *container.Engine, id string) bool {
	status, err := engine.ContainerStatus(ctx, id)
	return err == nil && status.State == cri.ContainerState_CONTAINER_RUNNING
}

// line prints "<time> <stream> <F or P> <text>" by its stream.
func (p *logPrinter) line(line string) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) < 4 {
		return // cut off by a crash
	}
	to := p.out
	if fields[1] == "stderr" {
		to = p.errs
	}
	text := fields[3]
	if p.timestamps {
		text = fields[0] + " " + text
	}
	if fields[2] == "F" {
		text += "\n"
	}
	fmt.Fprint(to, text)
}

// seekTail goes to where the last n lines begin.
func seekTail(f *os.File, n int) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	block := make([]byte, 32<<10)
	found := -1 // the file ends with a line's end
	for at := end; at > 0; {
		size := min(int64(len(block)), at)
		at -= size
		if _, err := f.ReadAt(block[:size], at); err != nil {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if block[i] != '\n' {
				continue
			}
			if found++; found == n {
				_, err := f.Seek(at+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}
