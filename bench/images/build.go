package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// tenSteps has commands, copies and what changes only the configuration.
const tenSteps = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV A=1
RUN echo 1 > /one
RUN mkdir -p /usr/lib/app && echo 2 > /usr/lib/app/two
COPY data /usr/lib/app/data
RUN cp /usr/lib/app/data /usr/lib/app/copy
RUN seq 1 10000 > /numbers
WORKDIR /usr/lib/app
CMD ["/bin/sh"]
`

const dataBytes = 4 << 20

// builds measures builds in roots of their own, and then again in these.
func builds(ctx context.Context, dhow, dir string, rounds int) error {
	sources := filepath.Join(dir, "context")
	if err := buildContext(sources); err != nil {
		return err
	}
	own := peer{"dhow", func(round int) []string {
		return []string{dhow, "--root", filepath.Join(dir, fmt.Sprint("build-dhow", round)), "build", "-q", "-t", "bench", sources}
	}}
	other := peer{"buildah", func(round int) []string {
		root := filepath.Join(dir, fmt.Sprint("build-buildah", round))
		return []string{
			"buildah", "--root", root, "--runroot", root + "-run", "--storage-driver", "overlay",
			"build", "--isolation", "chroot", "--layers", "-q", "-t", "bench", sources,
		}
	}}
	if err := beside(ctx, "build, 10 steps, nothing cached", rounds, own, other); err != nil {
		return err
	}
	return beside(ctx, "build, 10 steps, all cached", rounds, own, other)
}

func buildContext(dir string) error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data := make([]byte, dataBytes)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it cannot fail
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, content := range map[string][]byte{"busybox": busybox, "data": data, "Dockerfile": []byte(tenSteps)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil {
			return err
		}
	}
	return nil
}
