package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dhow/engine"
	"dhow/engine/treecopy"
)

func newCopyCommand(env *environment) *cobra.Command {
	var archive, follow bool
	cmd := &cobra.Command{
		Use:   "cp [flags] CONTAINER:SOURCE DESTINATION | SOURCE CONTAINER:DESTINATION",
		Short: "Copy files between a container and the host",
		Long: `Copy files between a container, whether it runs or not, and the host. - is a tar archive on standard input or output.
As with cp, a directory that exists is copied into; SOURCE/. copies what is in SOURCE.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			from, source := splitCopy(args[0])
			to, target := splitCopy(args[1])
			switch {
			case from != "" && to != "":
				return errors.New("copying between containers is not supported")
			case from != "":
				if follow {
					return errors.New("--follow-link: give the path that the link leads to")
				}
				return copyOut(cmd.Context(), env, service, from, source, target, archive)
			case to != "":
				return copyIn(cmd.Context(), env, service, source, to, target, archive)
			default:
				return errors.New("must specify at least one container source")
			}
		},
	}
	cmd.Flags().BoolVarP(&archive, "archive", "a", false, "keep owners")
	cmd.Flags().BoolVarP(&follow, "follow-link", "L", false, "")
	_ = cmd.Flags().MarkHidden("follow-link")
	return cmd
}

// splitCopy takes CONTAINER:PATH apart. A path that begins with / or . is the host's.
func splitCopy(text string) (container, name string) {
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return "", text
	}
	container, name, ok := strings.Cut(text, ":")
	if !ok {
		return "", text
	}
	return container, name
}

// contents says whether a path names what is in a directory.
func contents(name string) bool { return name == "." || strings.HasSuffix(name, "/.") }

// renamer puts entries that begin with base below to: "." is the directory itself.
func renamer(base, to string) func(string) string {
	return func(name string) string {
		rest := strings.TrimPrefix(strings.TrimPrefix(name, base), "/")
		if base == "." {
			rest = name
		}
		joined := path.Join(to, rest)
		if joined == "." {
			return ""
		}
		return joined
	}
}

func copyOut(ctx context.Context, env *environment, service *engine.Service, ref, source, target string, archive bool) error {
	if target == "-" {
		return service.CopyOut(ctx, ref, source, env.Stdout)
	}
	base := path.Base(path.Clean("/" + source))
	if base == "/" {
		base = "."
	}
	dir, to := target, base
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir():
		if contents(source) {
			to = "."
		}
	case err == nil || errors.Is(err, fs.ErrNotExist):
		if strings.HasSuffix(target, "/") && !contents(source) {
			return fmt.Errorf("destination directory %s does not exist", target)
		}
		dir, to = filepath.Dir(filepath.Clean(target)), filepath.Base(filepath.Clean(target))
	default:
		return err
	}
	in, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer in.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(service.CopyOut(ctx, ref, source, w)) }()
	return treecopy.Unpack(r, in, renamer(base, to), archive)
}

func copyIn(ctx context.Context, env *environment, service *engine.Service, source, ref, target string, archive bool) error {
	if source == "-" {
		return service.CopyIn(ctx, ref, target, env.Stdin, func(name string) string { return name }, true)
	}
	if _, err := os.Stat(source); err != nil {
		return err
	}
	parent, base := filepath.Split(filepath.Clean(source))
	if contents(source) || base == ".." || base == "" {
		parent, base = source, "."
	}
	if parent == "" {
		parent = "."
	}
	dir, to := target, base
	info, err := service.Stat(ctx, ref, target)
	switch {
	case err == nil && info.IsDir():
	case err == nil || errors.Is(err, fs.ErrNotExist):
		if strings.HasSuffix(target, "/") {
			return fmt.Errorf("Could not find the directory %s in container %s", target, ref)
		}
		dir, to = path.Dir(path.Clean("/"+target)), path.Base(path.Clean("/"+target))
	default:
		return err
	}
	in, err := os.OpenRoot(parent)
	if err != nil {
		return err
	}
	defer in.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(treecopy.Pack(w, in, base, base)) }()
	return service.CopyIn(ctx, ref, dir, r, renamer(base, to), archive)
}
