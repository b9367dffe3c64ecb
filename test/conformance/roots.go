package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"judge"
)

// roots makes the folders that become layers of images. They stand in for upstream's images with the same contents, as
// far as the tests look.
type roots struct {
	dir      string // one folder per layer
	bin      string // the binaries that buildBinaries made
	upstream string // the files of the module k8s.io/kubernetes
	debs     judge.Packages
}

func (r roots) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

// make makes them all; later ones use earlier ones.
func (r roots) make(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.debian, r.busybox, r.agnhost, r.pages, r.nginx, r.programs} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// folders makes folders below one root; a path that ends in tmp is everybody's.
func (r roots) folders(root string, paths ...string) error {
	for _, p := range paths {
		full := r.path(root, p)
		if err := os.MkdirAll(full, 0o755); err != nil {
			return err
		}
		if filepath.Base(p) == "tmp" {
			if err := os.Chmod(full, os.ModeSticky|0o777); err != nil {
				return err
			}
		}
	}
	return nil
}

// accounts writes who root and nobody are, and the lines given.
func (r roots) accounts(root string, users, groups []string) error {
	users = append([]string{"root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/:/bin/false"}, users...)
	groups = append([]string{"root:x:0:", "nogroup:x:65534:"}, groups...)
	return errors.Join(
		r.folders(root, "etc"),
		r.write(root, "etc/passwd", strings.Join(users, "\n")+"\n"),
		r.write(root, "etc/group", strings.Join(groups, "\n")+"\n"),
	)
}

func (r roots) write(root, path, text string) error {
	return os.WriteFile(r.path(root, path), []byte(text), 0o644)
}

// copy copies one file's bytes to root/path with the given mode.
func (r roots) copy(from, root, path string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	to := r.path(root, path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}

// debian is a merged-/usr root with a shell, coreutils and network tools.
func (r roots) debian(ctx context.Context) error {
	if err := r.folders("debian", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"); err != nil {
		return err
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+d, r.path("debian", d)); err != nil {
			return err
		}
	}
	err := r.debs.Unpack(ctx, r.path("debian"), func(name string) bool { return !notInBase.MatchString(name) })
	if err != nil {
		return err
	}
	for _, d := range []string{"doc", "man", "info", "locale", "lintian", "bash-completion"} {
		if err := os.RemoveAll(r.path("debian/usr/share", d)); err != nil {
			return err
		}
	}
	return errors.Join(r.certificates(), r.accounts("debian", nil, nil))
}

// certificates joins the authorities, as the package's own script would.
func (r roots) certificates() error {
	files, err := filepath.Glob(r.path("debian/usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil {
		return err
	}
	var all bytes.Buffer
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		all.Write(data)
	}
	return r.write("debian", "etc/ssl/certs/ca-certificates.crt", all.String())
}

// busybox is the static binary under all its names. /bin/sh is bash: ash and dash drop variables whose names are no
// identifiers (data-1), which tests print.
func (r roots) busybox(ctx context.Context) error {
	err := r.folders("busybox", "bin", "dev", "etc", "home", "proc", "root", "sbin", "sys", "tmp", "usr/bin", "usr/sbin", "var/www")
	if err != nil {
		return err
	}
	if err := r.folders("static", ""); err != nil {
		return err
	}
	err = r.debs.Unpack(ctx, r.path("static"), func(name string) bool {
		return strings.HasPrefix(name, "busybox-static_") || strings.HasPrefix(name, "bash-static_")
	})
	if err != nil {
		return err
	}
	if err := r.copy(r.path("static/bin/busybox"), "busybox", "bin/busybox", 0o755); err != nil {
		return err
	}
	applets, err := r.applets(ctx)
	if err != nil {
		return err
	}
	for _, a := range applets {
		if a == "sh" {
			continue
		}
		if err := os.Link(r.path("busybox/bin/busybox"), r.path("busybox/bin", a)); err != nil {
			return err
		}
	}
	return errors.Join(r.copy(r.path("static/bin/bash-static"), "busybox", "bin/sh", 0o755), r.accounts("busybox", nil, nil))
}

// applets are the names under which busybox is something else than itself.
func (r roots) applets(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, r.path("busybox/bin/busybox"), "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("busybox --list: %w", err)
	}
	var names []string
	for _, name := range strings.Fields(string(out)) {
		if name != "busybox" {
			names = append(names, name)
		}
	}
	return names, nil
}

// agnhost lies on debian: busybox for every command that debian lacks, the program and its files, and two accounts
// that tests look for.
func (r roots) agnhost(ctx context.Context) error {
	if err := r.folders("agnhost", "uploads", "usr/bin", "usr/local/bin", "var/registry", "root", "tmp"); err != nil {
		return err
	}
	if err := r.copy(r.path("busybox/bin/busybox"), "agnhost", "usr/bin/busybox", 0o755); err != nil {
		return err
	}
	applets, err := r.applets(ctx)
	if err != nil {
		return err
	}
	links := map[string]string{
		"usr/bin/nc": "nc.openbsd", "usr/bin/sh": "dash", "usr/local/bin/iperf": "/usr/bin/iperf", "agnhost-2": "agnhost",
	}
	for _, a := range applets {
		if _, ours := links["usr/bin/"+a]; !ours && !exists(r.path("debian/usr/bin", a)) && !exists(r.path("debian/usr/sbin", a)) {
			links["usr/bin/"+a] = "busybox"
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, r.path("agnhost", name)); err != nil {
			return err
		}
	}
	porter := filepath.Join(r.upstream, "test/images/agnhost/porter")
	return errors.Join(
		r.copy(filepath.Join(r.bin, "agnhost"), "agnhost", "agnhost", 0o755),
		r.copy(filepath.Join(porter, "localhost.crt"), "agnhost", "localhost.crt", 0o644),
		r.copy(filepath.Join(porter, "localhost.key"), "agnhost", "localhost.key", 0o644),
		r.accounts("agnhost", []string{"user-defined-in-image:x:1000:1000::/home/u:/bin/sh"},
			[]string{"user-defined-in-image:x:1000:", "group-defined-in-image:x:50000:user-defined-in-image"}),
	)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pages are what two web servers show. A volume test reads the name of a distribution out of kitten.
func (r roots) pages(context.Context) error {
	for _, name := range []string{"kitten", "nautilus"} {
		files, err := filepath.Glob(filepath.Join(r.upstream, "test/images", name, "html/*"))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := r.copy(f, name, filepath.Base(f), 0o644); err != nil {
				return err
			}
		}
	}
	return errors.Join(r.folders("kitten", "etc"), r.write("kitten", "etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\n"))
}

const nginxConfig = `worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include mime.types;
    access_log /dev/stdout;
    server {
        listen 80;
        listen [::]:80;
        root /usr/share/nginx/html;
    }
}
`

// nginxLibraries are those that Debian's nginx is linked with.
var nginxLibraries = []string{"libcrypt.so.1", "libpcre2-8.so.0", "libssl.so.3", "libcrypto.so.3", "libz.so.1", "libc.so.6"}

// nginx lies on busybox.
func (r roots) nginx(ctx context.Context) error {
	err := r.folders("nginx", "var/log/nginx", "var/lib/nginx", "var/cache/nginx", "run", "etc/nginx")
	if err != nil {
		return err
	}
	err = r.debs.Unpack(ctx, r.path("static"), func(name string) bool {
		return strings.HasPrefix(name, "nginx_") || strings.HasPrefix(name, "nginx-common_")
	})
	if err != nil {
		return err
	}
	const libraries = "lib/x86_64-linux-gnu"
	for _, lib := range nginxLibraries {
		if err := r.copy(r.path("debian/usr", libraries, lib), "nginx", filepath.Join(libraries, lib), 0o755); err != nil {
			return err
		}
	}
	const loader = "ld-linux-x86-64.so.2"
	return errors.Join(
		r.copy(r.path("debian/usr", libraries, loader), "nginx", filepath.Join("lib64", loader), 0o755),
		r.copy(r.path("static/usr/sbin/nginx"), "nginx", "usr/sbin/nginx", 0o755),
		r.copy(r.path("static/etc/nginx/mime.types"), "nginx", "etc/nginx/mime.types", 0o644),
		r.copy(r.path("static/usr/share/nginx/html/index.html"), "nginx", "usr/share/nginx/html/index.html", 0o644),
		r.write("nginx", "etc/nginx/nginx.conf", nginxConfig),
		r.accounts("nginx", []string{"www-data:x:33:33::/var/www:/bin/false"}, []string{"www-data:x:33:"}),
	)
}

// programs are images of one Go program.
func (r roots) programs(context.Context) error {
	return errors.Join(
		r.copy(filepath.Join(r.bin, "pause"), "pause", "pause", 0o755),
		r.copy(filepath.Join(r.bin, "etcd"), "etcd", "usr/local/bin/etcd", 0o755),
		r.copy(filepath.Join(r.bin, "sample-apiserver"), "sample-apiserver", "sample-apiserver", 0o755),
		r.copy(filepath.Join(r.bin, "nnp"), "nonewprivs", "usr/local/bin/nnp", os.ModeSetuid|0o755),
		r.folders("etcd", "tmp", "var/lib"), r.folders("sample-apiserver", "tmp"),
	)
}
