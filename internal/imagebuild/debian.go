package imagebuild

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Download fetches packages of Debian by apt-get into dir, without installing them.
func Download(ctx context.Context, dir string, packages []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	download := exec.CommandContext(ctx, "apt-get", append([]string{"download", "-qq", "-o", "Acquire::Retries=3"}, packages...)...)
	download.Dir = dir
	if out, err := download.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	return nil
}

// Unpack returns the files of the packages in dir, which it unpacks into dir/tree, with the shared libraries that the
// programs named by path need beyond them, from this machine.
func Unpack(ctx context.Context, dir string, programs ...string) ([]File, error) {
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return nil, err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	for _, archive := range archives {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", archive, tree).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("dpkg-deb -x %s: %w\n%s", archive, err, out)
		}
	}
	files, err := treeFiles(tree)
	if err != nil {
		return nil, err
	}
	for _, program := range programs {
		libraries, err := sharedLibraries(ctx, tree, program)
		if err != nil {
			return nil, err
		}
		files = append(files, libraries...)
	}
	return withoutRepeats(files), nil
}

func treeFiles(tree string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside := strings.TrimPrefix(path, tree)
		switch {
		case inside == "" || strings.HasPrefix(inside, "/usr/share/doc") || strings.HasPrefix(inside, "/usr/share/man"):
			return nil
		case d.IsDir():
			files = append(files, File{Path: inside})
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			files = append(files, File{Path: inside, Link: target})
		case d.Type().IsRegular():
			files = append(files, File{Path: inside, Source: path})
		}
		return nil
	})
	return files, err
}

// sharedLibraries asks the dynamic linker (ldd) which libraries a program loads; those in the tree come first.
func sharedLibraries(ctx context.Context, tree, program string) ([]File, error) {
	cmd := exec.CommandContext(ctx, "ldd", filepath.Join(tree, program))
	cmd.Env = append(cmd.Environ(), "LD_LIBRARY_PATH="+filepath.Join(tree, "usr/lib/x86_64-linux-gnu")+":"+filepath.Join(tree, "usr/lib/aarch64-linux-gnu"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w\n%s", program, err, out)
	}
	var files []File
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("%s needs %s, which is neither in the packages nor on this machine", program, fields[0])
		}
		i := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, "/") })
		if i < 0 || strings.HasPrefix(fields[i], tree) {
			continue
		}
		real, err := filepath.EvalSymlinks(fields[i])
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", program, err)
		}
		files = append(files, File{Path: fields[i], Source: real, Mode: 0o755})
	}
	return files, nil
}

func withoutRepeats(files []File) []File {
	seen := map[string]bool{}
	return slices.DeleteFunc(files, func(f File) bool {
		again := seen[f.Path]
		seen[f.Path] = true
		return again
	})
}
