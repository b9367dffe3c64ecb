//go:build !nocluster

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dhow/demo"
	"dhow/internal/demoapp"
	"dhow/internal/isolate"
)

func newDemoCommand(env *environment) *cobra.Command {
	var inside, keepLog bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on this machine, end to end, then clean up",
		Long: `Show the main job on this machine, end to end, then clean up: a server from nothing, an application of two
tiers, scaling, a rolling update and a killed daemon, all under requests.

It runs in network and mount namespaces of its own, in a temporary directory: this machine's network and any
other dhow on it are not touched.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("demo must run as root: it makes namespaces, mounts and cgroups (try sudo)")
			}
			if !inside {
				return replayIsolated(cmd.Context(), env, keepLog)
			}
			return playDemo(cmd.Context(), env, keepLog)
		},
	}
	cmd.Flags().BoolVar(&keepLog, "verbose", false, "show the server's log")
	cmd.Flags().BoolVar(&inside, "inside", false, "already in namespaces of its own")
	_ = cmd.Flags().MarkHidden("inside")
	cmd.AddCommand(newDemoAppCommand(env))
	return cmd
}

// replayIsolated runs this same command once more, in namespaces of its own.
func replayIsolated(ctx context.Context, env *environment, verbose bool) error {
	args := []string{"demo", "--inside", fmt.Sprintf("--verbose=%v", verbose)}
	child := isolate.Command(exec.CommandContext(ctx, "/proc/self/exe", args...))
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = 2 * time.Minute
	child.Stdout, child.Stderr = env.Stdout, env.Stderr
	err := child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitStatus(max(exit.ExitCode(), 1)) // the child has told why
	}
	return err
}

func playDemo(ctx context.Context, env *environment, verbose bool) error {
	if err := isolate.SetUp(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dhow-demo-")
	if err != nil {
		return err
	}
	c := demo.Config{Self: self, Dir: dir, Out: env.Stdout, Err: io.Discard}
	if verbose {
		c.Err = env.Stderr
	}
	return demo.Run(ctx, c)
}

// newDemoAppCommand is what runs inside the demonstration's containers.
func newDemoAppCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "app (web|backend|get URL)",
		Short:  "The application that the demonstration deploys",
		Hidden: true,
		Args:   cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			config := demoapp.Config{
				Addr:     ":8080",
				Version:  os.Getenv("VERSION"),
				Pod:      os.Getenv("POD_NAME"),
				Greeting: os.Getenv("GREETING"),
				Backend:  os.Getenv("BACKEND"),
				Log:      slog.New(slog.NewTextHandler(env.Stdout, nil)),
			}
			switch {
			case args[0] == "web" && len(args) == 1:
				return demoapp.RunWeb(cmd.Context(), config)
			case args[0] == "backend" && len(args) == 1:
				return demoapp.RunBackend(cmd.Context(), config)
			case args[0] == "get" && len(args) == 2:
				return printURL(cmd.Context(), env.Stdout, args[1])
			default:
				return usageError{fmt.Errorf("demo app: give web, backend, or get and a URL")}
			}
		},
	}
	return cmd
}

func printURL(ctx context.Context, w io.Writer, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}
