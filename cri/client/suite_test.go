package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dhow/container"
	"dhow/container/containertest"
	"dhow/cri/client"
	"dhow/cri/server"
	"dhow/image"
)

// background runs a part until the test ends.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// over serves a runtime and returns a client of it. The socket's path is longer than the kernel takes.
func over(t *testing.T, runtime container.Runtime, images image.Service) (*client.Runtime, client.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "cri.sock")
	s, err := server.New(server.Config{Socket: path, Runtime: runtime, Images: images, ImageDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	background(t, s.Run)
	config := client.Config{Endpoint: "unix://" + path, Log: slog.New(slog.DiscardHandler)}
	c, err := client.NewRuntime(config)
	if err != nil {
		t.Fatal(err)
	}
	background(t, c.Run)
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, config
}

// newEngine runs one that leaves nothing.
func newEngine(t *testing.T) *container.Engine {
	t.Helper()
	config := container.Config{
		StateDir: filepath.Join(t.TempDir(), "state"), CgroupParent: fmt.Sprintf("/dhow-cri-%d", os.Getpid()), Images: containertest.NewBusybox(t),
	}
	engine, err := container.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := container.Reset(context.Background(), config); err != nil {
			t.Error(err)
		}
	})
	background(t, engine.Run)
	if err := engine.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return engine
}

func TestTheEngineKeepsTheContractOverCRI(t *testing.T) {
	containertest.Suite(t, func(t *testing.T) containertest.Rig {
		c, _ := over(t, newEngine(t), &fakeImages{})
		return containertest.Rig{Runtime: c, Image: "busybox", Logs: t.TempDir(), Limits: true}
	})
}

func TestTheFakeKeepsTheContractOverCRI(t *testing.T) {
	busybox := containertest.NewBusybox(t)
	containertest.Suite(t, func(t *testing.T) containertest.Rig {
		fake := containertest.NewFake()
		fake.Play = busybox.Player()
		t.Cleanup(fake.EndAll)
		c, _ := over(t, fake, &fakeImages{})
		return containertest.Rig{Runtime: c, Image: "busybox", Logs: t.TempDir()}
	})
}
