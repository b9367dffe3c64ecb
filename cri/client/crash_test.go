package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/container/containertest"
	"dhow/cri/client"
	"dhow/cri/server"
)

// serverEnv says to this program that it is a server of CRI until it is killed.
const serverEnv = "DHOW_TEST_CRI_SERVER"

func TestMain(m *testing.M) {
	if text := os.Getenv(serverEnv); text != "" {
		panic(serveUntilKilled(text))
	}
	os.Exit(m.Run())
}

// place is where a server keeps what must survive it.
type place struct{ Socket, StateDir, CgroupParent, Images string }

func (p place) engine() container.Config {
	return container.Config{StateDir: p.StateDir, CgroupParent: p.CgroupParent, Images: containertest.OpenBusybox(p.Images), Log: slog.New(slog.DiscardHandler)}
}

func serveUntilKilled(text string) error {
	var p place
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	ctx := context.Background()
	engine, err := container.New(p.engine())
	if err != nil {
		return err
	}
	go func() { panic(engine.Run(ctx)) }()
	if err := engine.Ready(ctx); err != nil {
		return err
	}
	s, err := server.New(server.Config{Socket: p.Socket, Runtime: engine, Images: &fakeImages{}, ImageDir: p.Images, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func (p place) start(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = append(os.Environ(), serverEnv+"="+string(text)), os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// left are the folders and processes that no pod accounts for.
func (p place) left(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{p.StateDir + "/[0-9a-f]*", p.Images + "/[0-9a-f]*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if line, _ := os.ReadFile(path); strings.HasPrefix(string(line), "dhow-shim\x00"+p.StateDir+"/") {
			found = append(found, path)
		}
	}
	return found
}

func pod(n int) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: fmt.Sprint("p", n), Namespace: "n", Uid: fmt.Sprint("u", n)},
		Linux:    &cri.LinuxPodSandboxConfig{CgroupParent: fmt.Sprintf("/kubepods/pod%d", n)},
	}
}

func TestAServerThatIsKilledWhileItMakesPodsLeavesNoneHalfMade(t *testing.T) {
	dir := t.TempDir()
	p := place{filepath.Join(dir, "cri.sock"), filepath.Join(dir, "state"), fmt.Sprintf("/dhow-crikill-%d", os.Getpid()), containertest.NewBusybox(t).Dir()}
	t.Cleanup(func() {
		if err := container.Reset(context.Background(), p.engine()); err != nil {
			t.Error(err)
		}
	})
	c, err := client.NewRuntime(client.Config{Endpoint: p.Socket, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	background(t, c.Run)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	known := map[string]bool{}
	for round := range 6 {
		server := p.start(t)
		t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() }) // before anything is reset
		if err := c.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var calls sync.WaitGroup
		for n := range 8 {
			calls.Go(func() {
				id, err := c.RunPodSandbox(ctx, pod(8*round+n), "")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					known[id] = true
				}
			})
		}
		<-time.After(time.Duration(5+30*round) * time.Millisecond) // into their making
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = server.Wait()
		calls.Wait()
	}
	last := p.start(t)
	defer func() {
		_ = last.Process.Kill()
		_ = last.Wait()
	}()
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := c.ListPodSandbox(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.State != cri.PodSandboxState_SANDBOX_READY {
			t.Errorf("%s is %v", s.Metadata.GetName(), s.State)
		}
		delete(known, s.Id)
		if err := c.RemovePodSandbox(ctx, s.Id); err != nil {
			t.Error(err)
		}
	}
	if len(known) > 0 {
		t.Errorf("pods that were told to run are lost: %v", known)
	}
	if found := p.left(t); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}

func TestAHundredPodsAtOnce(t *testing.T) {
	c, _ := over(t, newEngine(t), &fakeImages{})
	ctx, begin := t.Context(), time.Now()
	life := func(n int) error {
		config := pod(n)
		id, err := c.RunPodSandbox(ctx, config, "")
		if err != nil {
			return err
		}
		made, err := c.CreateContainer(ctx, id, &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "busybox"}, Command: []string{"sleep", "1000"},
		}, config)
		if err != nil {
			return err
		}
		return c.StartContainer(ctx, made)
	}
	const count = 100
	failed := make(chan error, count)
	for n := range count {
		go func() { failed <- life(n) }()
	}
	for range count {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	running := &cri.ContainerFilter{State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}}
	list, err := c.ListContainers(ctx, running)
	if err != nil || len(list) != count {
		t.Errorf("%d containers run, %v", len(list), err)
	}
	t.Log("all run after", time.Since(begin).Round(time.Millisecond))
	for _, s := range list {
		go func() { failed <- c.RemovePodSandbox(ctx, s.PodSandboxId) }()
	}
	for range list {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	t.Log("all gone after", time.Since(begin).Round(time.Millisecond))
}
