package assemble

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/image"
	"dhow/image/build"
	"dhow/internal/rootfs"
)

// Builder opens the builder of a root. It needs no server: commands run in sandboxes of its own.
func Builder(c Local) (*build.Builder, *image.Store, error) {
	images, err := Images(c)
	if err != nil {
		return nil, nil, err
	}
	b, err := build.New(build.Config{
		Dir: c.Builds, RunDir: c.BuildRuns, Images: images, Log: c.Log,
		NewRunner: func(dir string) (build.Runner, error) { return newBuildRunner(c, dir) },
	})
	return b, images, err
}

// buildRunner runs the commands of one build as containers of an engine of its own, with a sandbox for each kind of
// network.
type buildRunner struct {
	engine  *container.Engine
	roots   *buildRoots
	network buildNetwork
	dir     string
	log     *slog.Logger
	stop    context.CancelFunc
	ended   chan error

	mu        sync.Mutex
	sandboxes map[string]string // by network
	count     int
}

func newBuildRunner(c Local, dir string) (*buildRunner, error) {
	standalone, _, err := Standalone(c, nil)
	if err != nil {
		return nil, err
	}
	r := &buildRunner{
		roots: &buildRoots{known: map[string]*rootfs.Snapshot{}}, network: buildNetwork{standalone.Networks()}, dir: dir, log: c.Log,
		ended: make(chan error, 1), sandboxes: map[string]string{},
	}
	r.engine, err = container.New(container.Config{
		StateDir: filepath.Join(dir, "containers"), CgroupParent: c.CgroupParent, Images: r.roots, Network: r.network, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- r.engine.Run(ctx) }()
	return r, r.engine.Ready(ctx)
}

// buildRoots gives containers the roots that the builder has made; it removes them itself.
type buildRoots struct {
	mu    sync.Mutex
	known map[string]*rootfs.Snapshot
}

func (b *buildRoots) Snapshot(_ context.Context, _, name string) (*rootfs.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if root, ok := b.known[name]; ok {
		return root, nil
	}
	return nil, fmt.Errorf("no root %s is being built", name)
}

func (b *buildRoots) RemoveSnapshot(context.Context, string) error { return nil }

func (b *buildRoots) set(name string, root *rootfs.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if root == nil {
		delete(b.known, name)
		return
	}
	b.known[name] = root
}

// Close implements build.Runner.
func (r *buildRunner) Close() error {
	ctx := context.Background()
	all, err := r.engine.ListPodSandbox(ctx, nil)
	for _, s := range all {
		err = errors.Join(err, r.engine.RemovePodSandbox(ctx, s.Id))
	}
	r.stop()
	return errors.Join(err, <-r.ended)
}

// sandbox gives the sandbox whose network is wanted.
func (r *buildRunner) sandbox(ctx context.Context, network string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id, ok := r.sandboxes[network]; ok {
		return id, nil
	}
	mode := cri.NamespaceMode_POD
	if network == build.NetworkHost {
		mode = cri.NamespaceMode_NODE
	}
	id, err := r.engine.RunPodSandbox(ctx, &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: sandboxName(network), Namespace: "build", Uid: filepath.Base(filepath.Dir(r.dir))},
		Hostname: "buildkitsandbox", LogDirectory: filepath.Join(r.dir, "logs"), DnsConfig: r.network.resolver(network),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: mode, Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_POD},
		}},
	}, "")
	if err == nil {
		r.sandboxes[network] = id
	}
	return id, err
}

// Run implements build.Runner.
func (r *buildRunner) Run(ctx context.Context, c build.Command) (int, error) {
	sandbox, err := r.sandbox(ctx, c.Network)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.count++
	name := "step-" + strconv.Itoa(r.count)
	r.mu.Unlock()
	root := *c.Root
	root.Config.User, root.Config.Env, root.Config.WorkingDir = c.User, c.Env, c.Dir
	r.roots.set(name, &root)
	defer r.roots.set(name, nil)
	output, err := newOutputPipe(filepath.Join(r.dir, "logs"), name)
	if err != nil {
		return 0, err
	}
	defer output.close()
	id, err := r.engine.CreateContainerWith(ctx, sandbox, buildContainer(c, name), nil, buildExtra(c))
	if err != nil {
		return 0, err
	}
	defer func() {
		if err := r.engine.RemoveContainer(context.Background(), id); err != nil {
			r.log.Error("container of a build is not removed", "container", id, "err", err)
		}
	}()
	return r.runToEnd(ctx, id, output, c.Stdout)
}

// runToEnd starts a container and passes its output on until it has ended.
func (r *buildRunner) runToEnd(ctx context.Context, id string, output *outputPipe, to io.Writer) (int, error) {
	if err := r.engine.StartContainer(ctx, id); err != nil {
		status, _ := r.engine.ContainerStatus(ctx, id) // only for the code
		if code := status.GetExitCode(); code == 126 || code == 127 {
			fmt.Fprintln(to, err)
			return int(code), nil
		}
		return 0, err
	}
	copied := make(chan error, 1)
	go func() { copied <- output.copy(to) }()
	err := r.engine.Attach(ctx, id, container.Streams{})
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), r.engine.StopContainer(context.WithoutCancel(ctx), id, 0))
	} else if status, failed := r.engine.ContainerStatus(ctx, id); failed == nil && status.State != cri.ContainerState_CONTAINER_RUNNING {
		err = nil // it had ended before one could attach
	}
	output.end()
	if err := errors.Join(err, <-copied); err != nil {
		return 0, err
	}
	status, err := r.engine.ContainerStatus(ctx, id)
	return int(status.GetExitCode()), err
}

func buildContainer(c build.Command, name string) *cri.ContainerConfig {
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name}, Image: &cri.ImageSpec{Image: name},
		Command: c.Args, WorkingDir: c.Dir, LogPath: name + ".pipe",
		Mounts: []*cri.Mount{{ContainerPath: "/etc/hosts", HostPath: c.Hosts}},
		Linux: &cri.LinuxContainerConfig{
			SecurityContext: &cri.LinuxContainerSecurityContext{
				Privileged:       c.Insecure,
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_POD},
			},
			Resources: &cri.LinuxContainerResources{
				MemoryLimitInBytes: c.Memory, MemorySwapLimitInBytes: max(c.MemorySwap, 0), CpuShares: c.CPUShares, CpuQuota: c.CPUQuota,
				CpuPeriod: c.CPUPeriod, CpusetCpus: c.CPUSetCPUs, CpusetMems: c.CPUSetMems,
			},
		},
	}
	if !c.Insecure {
		config.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
	}
	for _, m := range c.Mounts {
		config.Mounts = append(config.Mounts, &cri.Mount{ContainerPath: m.Target, HostPath: m.Source, Readonly: m.ReadOnly})
	}
	return config
}

func buildExtra(c build.Command) container.Extra {
	extra := container.Extra{ShmSize: c.ShmSize, MemorySwap: min(c.MemorySwap, 0)}
	for _, t := range c.Tmpfs {
		extra.Tmpfs = append(extra.Tmpfs, container.Tmpfs{Target: t.Target, Size: t.Size, Options: []string{"exec"}})
	}
	for _, u := range c.Ulimits {
		limit := func(n int64) uint64 {
			if n < 0 {
				return container.RlimitInfinity
			}
			return uint64(n)
		}
		extra.Rlimits = append(extra.Rlimits, container.Rlimit{Type: u.Name, Soft: limit(u.Soft), Hard: limit(u.Hard)})
	}
	return extra
}

// outputPipe is a container's log that is read as it is written.
type outputPipe struct {
	path string
	file *os.File
}

func newOutputPipe(dir, name string) (*outputPipe, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &outputPipe{path: filepath.Join(dir, name+".pipe")}
	if err := makePipe(p.path); err != nil {
		return nil, err
	}
	var err error
	p.file, err = os.OpenFile(p.path, os.O_RDWR, 0)
	return p, err
}

// over is a line that no log has.
const over = "over\n"

// end lets copy return when it has passed everything on that came before.
func (p *outputPipe) end() { _, _ = p.file.WriteString(over) }

func (p *outputPipe) close() {
	p.file.Close()
	_ = os.Remove(p.path) // it goes with its directory as well
}

// copy passes the lines of a log in CRI's format on.
func (p *outputPipe) copy(to io.Writer) error {
	lines := bufio.NewReaderSize(p.file, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		if string(line) == over {
			return nil
		}
		parts := bytes.SplitN(line, []byte(" "), 4) // time, stream, F or P, text
		if len(parts) != 4 {
			continue
		}
		text := parts[3]
		if strings.HasPrefix(string(parts[2]), "P") {
			text = bytes.TrimSuffix(text, []byte("\n"))
		}
		if _, err := to.Write(text); err != nil {
			return err
		}
	}
}
