//go:build nocluster

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dhow/cli/whole"
	"dhow/internal/packed"
	"dhow/internal/perboot"
)

// clusterCommands are in the whole program only.
func clusterCommands(*environment) []*cobra.Command { return nil }

// handOver gives a command line that this program does not know to the whole one, unpacked for it at first, in this
// process's place. It comes back, with an exit code, only if that cannot be.
func handOver(root *cobra.Command, env *environment, args []string) (int, bool) {
	if cmd, _, err := root.Find(args[1:]); err == nil && cmd != root || whole.Program == nil {
		// Most of these commands end before there is much to collect. One that goes on stays below the limit if it can.
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(128 << 20)
		return 0, false
	}
	fmt.Fprintf(env.Stderr, "dhow: %v\n", becomeWhole(args))
	return 1, true
}

func becomeWhole(args []string) error {
	program, err := packed.Open(whole.Program)
	if err != nil {
		return err
	}
	for _, dir := range programDirs(args) {
		file := perboot.File{Dir: dir, Version: program.Version(), Name: "dhow", Mode: 0o755, Size: program.Size(), Write: program.Unpack}
		if path, err := file.Path(); err == nil {
			_ = syscall.Exec(path, args, os.Environ()) // comes back from where nothing may be executed
		}
	}
	f, err := program.InMemory()
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return &os.PathError{Op: "execute", Path: path, Err: syscall.Exec(path, args, os.Environ())}
}

// programDirs are where the whole program may lie: under --root, or in the user's cache where that is not the user's. Without
// either it has no place on disk, and costs its size in memory while it runs.
func programDirs(args []string) []string {
	dirs := []string{filepath.Join((&environment{Root: rootOf(args)}).dataDir(), "program")}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "dhow", "program"))
	}
	return dirs
}

// rootOf is what --root says. kubectl's own arguments may be the flags of something else.
func rootOf(args []string) string {
	root := "/"
	flags := pflag.NewFlagSet("root", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.StringVar(&root, "root", root, "")
	flags.SetInterspersed(false)
	_ = flags.Parse(args[1:]) // the whole program tells what is wrong
	if rest := flags.Args(); len(rest) > 0 && rest[0] != "kubectl" {
		flags.SetInterspersed(true)
		_ = flags.Parse(rest)
	}
	return root
}
