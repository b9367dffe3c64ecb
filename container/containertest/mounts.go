package containertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func mountBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"a mount shows the machine's files":                  mounts,
		"a read-only mount is so to all below where asked":   readOnlyBelow,
		"mount options hold":                                 mountOptions,
		"an unknown mount option is refused":                 unknownOption,
		"an image is mounted read-only":                      imageMount,
		"a path of an image is mounted":                      imagePath,
		"a path that an image does not have is told":         noImagePath,
		"an image and a path of the machine are not mounted": imageAndPath,
	}
}

func mounts(r *rig) {
	dir := filepath.Join(r.Logs, "shared")
	r.check(os.MkdirAll(dir, 0o755))
	r.check(os.WriteFile(filepath.Join(dir, "in"), []byte("from outside\n"), 0o644))
	at := "/mnt"
	if !r.Limits {
		at = dir // what holds no one back gives no roots, either
	}
	config := r.sh("cat " + at + "/in; echo from inside > " + at + "/out")
	config.Mounts = []*cri.Mount{{HostPath: dir, ContainerPath: at}}
	out, _ := r.result(config)
	back, err := os.ReadFile(filepath.Join(dir, "out"))
	r.check(err)
	if out != "from outside\n" || string(back) != "from inside\n" {
		r.Errorf("inside it read %q, outside %q", out, back)
	}
}

// shown is what a container says that has mounts; nothing where mounts are not made.
func (r *rig) shown(script string, mounts ...*cri.Mount) (string, bool) {
	r.Helper()
	if !r.Limits {
		return "", false
	}
	config := r.sh(script)
	r.shows++
	config.Mounts, config.LogPath = mounts, fmt.Sprintf("shown%d.log", r.shows)
	out, _ := r.result(config)
	return out, true
}

func readOnlyBelow(r *rig) {
	dir := filepath.Join(r.Logs, "top")
	below := filepath.Join(dir, "below")
	r.check(os.MkdirAll(below, 0o755))
	r.check(unix.Mount("tmpfs", below, "tmpfs", 0, "size=1m"))
	defer func() { _ = unix.Unmount(below, unix.MNT_DETACH) }()
	for recursive, want := range map[bool]string{true: "", false: "below\n"} {
		mount := &cri.Mount{HostPath: dir, ContainerPath: "/mnt", Readonly: true, RecursiveReadOnly: recursive}
		out, made := r.shown("for d in . below; do (: > /mnt/$d/x) 2>/dev/null && echo $d; done", mount)
		if made && out != want {
			r.Errorf("recursively %v: it can write to %q", recursive, out)
		}
	}
}

func mountOptions(r *rig) {
	dir := filepath.Join(r.Logs, "programs")
	r.check(os.MkdirAll(dir, 0o755))
	r.check(os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/sh\necho ran\n"), 0o755))
	for want, options := range map[string][]string{"ran\n": nil, "refused\n": {"noexec", "nosuid", "nodev"}} {
		mount := &cri.Mount{HostPath: dir, ContainerPath: "/mnt", MountOptions: options}
		if out, made := r.shown("/mnt/program 2>/dev/null || echo refused", mount); made && out != want {
			r.Errorf("with %v it says %q", options, out)
		}
	}
}

func unknownOption(r *rig) {
	if !r.Limits {
		return
	}
	config := r.command("true")
	config.Mounts = []*cri.Mount{{HostPath: r.Logs, ContainerPath: "/mnt", MountOptions: []string{"sparkling"}}}
	if _, err := r.Runtime.CreateContainer(r.ctx, r.first(), config, r.podConfig()); err == nil || !strings.Contains(err.Error(), "sparkling") {
		r.Errorf("error is %v", err)
	}
}

func (r *rig) image(at, path string) *cri.Mount {
	return &cri.Mount{Image: &cri.ImageSpec{Image: r.Image}, ContainerPath: at, ImageSubPath: path, Readonly: true}
}

func imageMount(r *rig) {
	script := "head -n 1 /image/etc/group; (: > /image/x) 2>/dev/null || echo read-only; /image/bin/busybox true 2>/dev/null || echo no programs"
	if out, made := r.shown(script, r.image("/image", "")); made && out != "root:x:0:\nread-only\nno programs\n" {
		r.Errorf("it says %q", out)
	}
}

func imagePath(r *rig) {
	script := "head -n 1 /part/group; head -n 1 /file; (: > /part/x) 2>/dev/null || echo read-only; ls /part/../part | grep -c bin"
	if out, made := r.shown(script, r.image("/part", "etc"), r.image("/file", "etc/passwd")); made && out != "root:x:0:\nroot:x:0:0::/root:/bin/sh\nread-only\n0\n" {
		r.Errorf("it says %q", out)
	}
}

func noImagePath(r *rig) {
	if !r.Limits {
		return
	}
	config := r.command("true")
	config.Mounts = []*cri.Mount{r.image("/image", "no/such")}
	id, err := r.Runtime.CreateContainer(r.ctx, r.first(), config, r.podConfig())
	if err == nil {
		err = r.Runtime.StartContainer(r.ctx, id)
	}
	if err == nil || !strings.Contains(err.Error(), "no/such") {
		r.Errorf("error is %v", err)
	}
}

func imageAndPath(r *rig) {
	if !r.Limits {
		return
	}
	mount := r.image("/image", "")
	mount.HostPath = r.Logs
	config := r.command("true")
	config.Mounts = []*cri.Mount{mount}
	if _, err := r.Runtime.CreateContainer(r.ctx, r.first(), config, r.podConfig()); err == nil {
		r.Error("it was made")
	}
}
