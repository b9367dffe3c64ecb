package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// busybox is Debian's under all its names, with the libraries that it needs and our own program under two names that it
// lacks. It is not the static one, whose shell has the other programs built in: a test hides a file from it. The accounts
// come last.
func busybox(ctx context.Context, out string) ([]file, error) {
	root := filepath.Join(out, "debian")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	if err := debian(out).Unpack(ctx, root, func(name string) bool { return strings.HasPrefix(name, "busybox_") || strings.HasPrefix(name, "lib") }); err != nil {
		return nil, err
	}
	program := filepath.Join(root, "bin/busybox")
	all := []file{{path: "tmp", mode: 0o1777}, {path: "root"}, {path: "var/www"}, {path: "bin/busybox", source: program, mode: 0o755}}
	needed, err := libraries(root, program)
	if err != nil {
		return nil, err
	}
	all = append(all, needed...)
	applets, err := exec.CommandContext(ctx, program, "--list").Output() // with this machine's libraries
	if err != nil {
		return nil, fmt.Errorf("busybox --list: %w", err)
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			all = append(all, file{path: "bin/" + name, link: "bin/busybox"})
		}
	}
	more := filepath.Join(out, "tools")
	all = append(all, file{path: "usr/bin/pgrep", source: more, mode: 0o755}, file{path: "usr/bin/ipcs", link: "usr/bin/pgrep"})
	return append(all, file{path: "etc/passwd", text: passwd}, file{path: "etc/group", text: group}), nil
}

// libraries are what a program of an unpacked root is linked with, its loader included.
func libraries(root, program string) ([]file, error) {
	wanted, seen := []string{program}, map[string]bool{}
	var all []file
	for ; len(wanted) > 0; wanted = wanted[1:] {
		names, err := linked(wanted[0])
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			path, err := find(root, name)
			if err != nil {
				return nil, err
			}
			source := inside(root, path)
			all = append(all, file{path: strings.TrimPrefix(path, root+"/"), source: source, mode: 0o755})
			wanted = append(wanted, source)
		}
	}
	return all, nil
}

// linked are the libraries that a file names, and its loader by its whole path.
func linked(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	if s := f.Section(".interp"); s != nil {
		loader, err := s.Data()
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimRight(string(loader), "\x00"))
	}
	return names, nil
}

// inside follows a link in a root, which means its own absolute paths.
func inside(root, path string) string {
	if to, err := os.Readlink(path); err == nil && filepath.IsAbs(to) {
		return filepath.Join(root, to)
	}
	return path
}

func find(root, name string) (string, error) {
	if filepath.IsAbs(name) {
		return filepath.Join(root, name), nil
	}
	for _, pattern := range []string{"lib/*", "usr/lib/*"} {
		if found, _ := filepath.Glob(filepath.Join(root, pattern, name)); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("library %s is in none of the packages", name)
}
