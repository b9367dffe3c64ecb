// Command images measures how long pulling and unpacking an image takes, beside podman (300 MB in 5 layers, from
// Debian's docker-registry on loopback), and how long a build takes, beside buildah (10 steps, with an empty cache and with
// a full one). With -compare it looks whether an image of others unpacks to the same files as with podman. Packages
// docker-registry, podman, buildah, skopeo and busybox-static are wanted.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"dhow/image"
)

const (
	layerCount = 5
	layerBytes = 60 << 20
	fileBytes  = 48 << 10
	startsIn   = 10 * time.Second
)

func main() {
	dhow := flag.String("dhow", "bin/dhow", "the binary to measure")
	rounds := flag.Int("rounds", 5, "how often each is measured; the median counts")
	alike := flag.Bool("compare", false, "compare what an image of buildah's unpacks to with podman's mount of it, and measure nothing")
	flag.Parse()
	if err := run(context.Background(), *dhow, *rounds, *alike); err != nil {
		fmt.Fprintln(os.Stderr, "bench images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dhow string, rounds int, alike bool) (err error) {
	dir, err := os.MkdirTemp("", "bench-images-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if alike {
		return compare(ctx, dir)
	}
	if err := pulls(ctx, dhow, dir, rounds); err != nil {
		return err
	}
	return builds(ctx, dhow, dir, rounds)
}

func pulls(ctx context.Context, dhow, dir string, rounds int) error {
	address, stop, err := startRegistry(ctx, dir)
	if err != nil {
		return err
	}
	defer stop()
	ref := address + "/bench:1"
	if err := pushSample(ctx, filepath.Join(dir, "source"), ref); err != nil {
		return err
	}
	return beside(ctx, fmt.Sprintf("pull + unpack, %d MB in %d layers", layerCount*layerBytes>>20, layerCount), rounds,
		peer{"dhow", func(round int) []string {
			return []string{dhow, "--root", filepath.Join(dir, fmt.Sprint("pull-dhow", round)), "pull", "-q", ref}
		}},
		peer{"podman", func(round int) []string {
			root := filepath.Join(dir, fmt.Sprint("pull-podman", round))
			return []string{"podman", "--root", root, "--runroot", root + "-run", "--storage-driver", "overlay", "pull", "-q", "--tls-verify=false", ref}
		}})
}

// peer is a program, and its command line for each round.
type peer struct {
	name    string
	command func(round int) []string
}

// beside measures two programs in turns, so that what else the machine does meets both, and prints their medians.
func beside(ctx context.Context, what string, rounds int, own, other peer) error {
	took := map[string][]time.Duration{}
	for round := range rounds {
		for _, p := range []peer{own, other} {
			d, err := measure(ctx, p.command(round))
			if err != nil {
				return fmt.Errorf("%s: %s: %w", what, p.name, err)
			}
			took[p.name] = append(took[p.name], d)
		}
	}
	a, b := median(took[own.name]), median(took[other.name])
	fmt.Printf("%s: %s %v, %s %v (%.2f of it; all: %v, %v)\n", what, own.name, a, other.name, b, a.Seconds()/b.Seconds(), took[own.name], took[other.name])
	return nil
}

// measure leaves what was pulled: ext4 is slow to make files where many were deleted just now.
func measure(ctx context.Context, args []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	return time.Since(begin).Round(time.Millisecond), nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// startRegistry runs Debian's registry on a free port of loopback.
func startRegistry(ctx context.Context, dir string) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	config := filepath.Join(dir, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n",
		filepath.Join(dir, "registry"), address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, "docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%w (apt-get install docker-registry podman)", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	ctx, cancel := context.WithTimeout(ctx, startsIn)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			return address, stop, resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			stop()
			return "", nil, fmt.Errorf("the registry did not start: %w", err)
		case <-tick.C:
		}
	}
}

// pushSample makes an image of layers of files that compress about as programs do, and pushes it.
func pushSample(ctx context.Context, dir, ref string) error {
	store, err := image.New(image.Config{Dir: dir})
	if err != nil {
		return err
	}
	lease, err := store.Lease(ctx, "")
	if err != nil {
		return err
	}
	var spec image.Spec
	for n := range layerCount {
		r, w := io.Pipe()
		go func() { w.CloseWithError(sampleLayer(w, n)) }()
		layer, err := store.PutLayer(ctx, lease, r)
		if err != nil {
			return err
		}
		spec.RootFS.DiffIDs = append(spec.RootFS.DiffIDs, layer.DiffID)
	}
	if _, err := store.Put(ctx, spec, ref); err != nil {
		return err
	}
	_, err = store.Push(ctx, ref, image.PushOptions{})
	return errors.Join(err, lease.Release()) // it stays to the end: see measure
}

func sampleLayer(w io.Writer, n int) error {
	archive := tar.NewWriter(w)
	random := rand.NewChaCha8([32]byte{byte(n)})
	for i := range layerBytes / fileBytes {
		noise := make([]byte, fileBytes/3)
		_, _ = random.Read(noise) // it cannot fail
		content := append(noise, bytes.Repeat([]byte(fmt.Sprintf("line %d of a text\n", i)), fileBytes)[:fileBytes-len(noise)]...)
		h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("layer%d/dir%d/file%d", n, i/50, i), Mode: 0o644, Size: fileBytes}
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	return archive.Close()
}
