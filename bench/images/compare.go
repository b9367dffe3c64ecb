package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dhow/image"
	"dhow/image/build/rooted"
)

// changes are what each layer of the image that is compared does to the files below it, as a shell does it in buildah's mount of
// the layer before.
var changes = []string{
	`mkdir -p a/b c d; seq 1000 >a/b/f; ln a/b/f a/hard; ln -s b/f a/link; mkfifo pipe; mknod null c 1 3; mknod loop b 7 9; chmod 1777 d`,
	`setfattr -n user.one -v two a/b/f 2>/dev/null || true; chown 4000000:7 c; chmod 4755 a/hard; touch -d @5 c`,
	`rm -r a/b; seq 5 >a/b`,               // a file over a directory
	`rm a/b; mkdir -p a/b/new; touch a/b`, // and back
	`rm -r d; mkdir d; seq 3 >d/opaque`,   // an opaque one
	`rm c/x d/opaque 2>/dev/null; rm pipe; ln -s /nowhere c/dangling`,
	`truncate -s 4M sparse; echo end >>sparse; n=$(printf '%0200d' 7); mkdir -p $n/$n/$n; echo x >$n/$n/$n/$n; echo y >"a b
ü"`,
}

// cycles is how often all changes are made: that gives more than a hundred layers.
const cycles = 15

// forms are how skopeo pushes it.
var forms = map[string][]string{
	"docker, gzip":      {"--format", "v2s2"},
	"oci, gzip":         {"--format", "oci"},
	"oci, zstd":         {"--format", "oci", "--dest-compress-format", "zstd"},
	"oci, zstd:chunked": {"--format", "oci", "--dest-compress-format", "zstd:chunked"},
}

// compare pulls an image that buildah has made, in all forms in which skopeo pushes it, and compares what it unpacks to with
// podman's mount of it.
func compare(ctx context.Context, dir string) (err error) {
	address, stop, err := startRegistry(ctx, dir)
	if err != nil {
		return err
	}
	defer stop()
	p := peers{ctx: ctx, dir: dir}
	defer func() { err = errors.Join(err, p.unmount()) }()
	want, err := p.make(len(changes) * cycles)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		ref := address + "/compared:1"
		args := append([]string{"copy", "-q", "--dest-tls-verify=false"}, forms[name]...)
		if _, err := p.run("skopeo", append(args, fmt.Sprintf("containers-storage:[overlay@%s/root+%s/run]localhost/compared", dir, dir), "docker://"+ref)...); err != nil {
			return err
		}
		begin := time.Now()
		got, err := unpacked(ctx, filepath.Join(dir, "store "+name), ref)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took := time.Since(begin).Round(time.Millisecond)
		if differ := differences(want, got); len(differ) > 0 {
			return fmt.Errorf("%s: unpacked otherwise than podman does:\n%s", name, strings.Join(differ, "\n"))
		}
		fmt.Printf("%s: %d files in %d layers are as podman has them (pulled and read in %v)\n", name, len(got), len(changes)*cycles, took)
	}
	return nil
}

// peers are buildah, podman and skopeo with a storage of their own.
type peers struct {
	ctx context.Context
	dir string
}

func (p peers) run(program string, args ...string) (string, error) {
	if program != "skopeo" && program != "sh" {
		args = append([]string{"--root", p.dir + "/root", "--runroot", p.dir + "/run", "--storage-driver", "overlay"}, args...)
	}
	cmd := exec.CommandContext(p.ctx, program, args...)
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, failed.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// make has buildah make the image, and reads podman's mount of it.
func (p peers) make(layers int) (map[string]string, error) {
	from := "scratch"
	for n := range layers {
		if err := p.layer(from, fmt.Sprintf("mkdir -p turn; cd turn; mkdir -p %d; cd %d; %s", n%3, n%3, changes[n/3%len(changes)])); err != nil {
			return nil, err
		}
		from = "localhost/compared"
	}
	mount, err := p.run("podman", "--tmpdir", p.dir+"/tmp", "image", "mount", "localhost/compared")
	if err != nil {
		return nil, err
	}
	files, err := read(rooted.Open(mount))
	return files, err
}

// unmount takes away what they have mounted, so that their storage can be removed.
func (p peers) unmount() error {
	_, err := p.run("sh", "-c", "cut -d ' ' -f 2 /proc/self/mounts | grep '^"+p.dir+"/root/' | sort -r | xargs -r umount -l")
	return err
}

func (p peers) layer(from, script string) error {
	container, err := p.run("buildah", "from", "--pull-never", from)
	if err != nil {
		return err
	}
	mount, err := p.run("buildah", "mount", container)
	if err != nil {
		return err
	}
	if _, err := p.run("sh", "-c", "cd "+mount+" && { "+script+"; true; }"); err != nil {
		return err
	}
	for _, args := range [][]string{{"umount", container}, {"commit", "-q", container, "localhost/compared"}, {"rm", container}} {
		if _, err := p.run("buildah", args...); err != nil {
			return err
		}
	}
	return nil
}

// unpacked pulls an image into a store of its own, and reads what a container of it sees.
func unpacked(ctx context.Context, dir, ref string) (map[string]string, error) {
	store, err := image.New(image.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	if _, err := store.Pull(ctx, ref, image.PullOptions{}); err != nil {
		return nil, err
	}
	snap, err := store.Snapshot(ctx, "compared", ref)
	if err != nil {
		return nil, err
	}
	files, err := read(rooted.Overlay(snap.Lower, snap.Upper, snap.Work))
	return files, errors.Join(err, os.RemoveAll(dir))
}

// read describes all files of a tree.
func read(tree *rooted.Tree, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(tree.Tar(w, time.Time{})) }()
	files := map[string]string{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, archive); err != nil {
			return nil, err
		}
		files[h.Name] = fmt.Sprintf("%c %o %d:%d %d bytes %x to %q, device %d:%d, of %d, %q", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Size, sum.Sum(nil)[:6],
			h.Linkname, h.Devmajor, h.Devminor, h.ModTime.Unix(), h.PAXRecords["SCHILY.xattr.user.one"])
	}
}

func differences(want, got map[string]string) (all []string) {
	for name, is := range want {
		if got[name] != is {
			all = append(all, fmt.Sprintf("%q: podman %s; dhow %s", name, is, got[name]))
		}
	}
	for name, is := range got {
		if want[name] == "" {
			all = append(all, fmt.Sprintf("%q: only dhow has %s", name, is))
		}
	}
	slices.Sort(all)
	return all
}
