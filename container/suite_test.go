package container_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dhow/container"
	"dhow/container/containertest"
)

func TestTheEngineKeepsTheContract(t *testing.T) {
	containertest.Suite(t, func(t *testing.T) containertest.Rig {
		config := container.Config{
			StateDir: filepath.Join(t.TempDir(), "state"), CgroupParent: fmt.Sprintf("/dhow-suite-%d", os.Getpid()), Images: containertest.NewBusybox(t),
		}
		engine, err := container.New(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- engine.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := container.Reset(context.Background(), config); err != nil {
				t.Error(err)
			}
		})
		if err := engine.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		return containertest.Rig{Runtime: engine, Image: "busybox", Logs: t.TempDir(), Limits: true}
	})
}
