package container

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
)

func (c *container) stats() (*cri.ContainerStats, error) {
	s, err := c.Cgroup.Stats()
	if err != nil {
		return nil, err
	}
	return &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{Id: c.ID, Metadata: c.config.GetMetadata(), Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu:        s.CPU(), Memory: s.Memory(), Swap: s.Swap(), Io: s.IO(), WritableLayer: c.written(),
	}, nil
}

// ContainerStats implements Runtime.
func (e *Engine) ContainerStats(_ context.Context, id string) (*cri.ContainerStats, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	return c.stats()
}

// ListContainerStats implements Runtime; it has running containers only.
func (e *Engine) ListContainerStats(ctx context.Context, filter *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	list, err := e.ListContainers(ctx, &cri.ContainerFilter{
		Id: filter.GetId(), PodSandboxId: filter.GetPodSandboxId(), LabelSelector: filter.GetLabelSelector(),
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	})
	if err != nil {
		return nil, err
	}
	var all []*cri.ContainerStats
	for _, item := range list {
		if s, err := e.ContainerStats(ctx, item.Id); err == nil { // it may just have ended
			all = append(all, s)
		}
	}
	return all, nil
}

// PodSandboxStats implements Runtime.
func (e *Engine) PodSandboxStats(ctx context.Context, id string) (*cri.PodSandboxStats, error) {
	s, err := e.sandbox(id)
	if err != nil {
		return nil, err
	}
	used, err := s.Cgroup.Stats()
	if err != nil {
		return nil, err
	}
	containers, err := e.ListContainerStats(ctx, &cri.ContainerStatsFilter{PodSandboxId: id})
	if err != nil {
		return nil, err
	}
	return &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{Id: id, Metadata: s.config.GetMetadata(), Labels: s.config.Labels, Annotations: s.config.Annotations},
		Linux: &cri.LinuxPodSandboxStats{
			Cpu: used.CPU(), Memory: used.Memory(), Io: used.IO(), Process: used.Processes(),
			Containers: containers, Network: s.podNetwork(used.At()),
		},
	}, nil
}

// ListPodSandboxStats implements Runtime.
func (e *Engine) ListPodSandboxStats(ctx context.Context, filter *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	list, err := e.ListPodSandbox(ctx, &cri.PodSandboxFilter{
		Id: filter.GetId(), LabelSelector: filter.GetLabelSelector(),
		State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
	})
	if err != nil {
		return nil, err
	}
	var all []*cri.PodSandboxStats
	for _, item := range list {
		if s, err := e.PodSandboxStats(ctx, item.Id); err == nil { // it may just have ended
			all = append(all, s)
		}
	}
	return all, nil
}

// writtenFor is how long a count of a container's files holds: it takes time.
const writtenFor = 10 * time.Second

// written counts what the container has written to its root; nil where that is not in a layer of its own.
func (c *container) written() *cri.FilesystemUsage {
	c.mu.Lock()
	last := c.layer
	c.mu.Unlock()
	if last != nil && time.Since(time.Unix(0, last.Timestamp)) < writtenFor {
		return last
	}
	var spec shim.Container
	if err := readJSON(filepath.Join(c.dir, specFile), &spec); err != nil || spec.Root.Upper == "" {
		return nil
	}
	bytes, inodes := filesBelow(spec.Root.Upper)
	now := &cri.FilesystemUsage{
		Timestamp: time.Now().UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: filepath.Dir(spec.Root.Upper)},
		UsedBytes: &cri.UInt64Value{Value: bytes}, InodesUsed: &cri.UInt64Value{Value: inodes},
	}
	c.mu.Lock()
	c.layer = now
	c.mu.Unlock()
	return now
}

// filesBelow counts the blocks and the inodes of a directory. Files come and go meanwhile.
func filesBelow(dir string) (bytes, inodes uint64) {
	linked := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err != nil || unix.Lstat(path, &st) != nil || linked[st.Ino] {
			return nil
		}
		if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			linked[st.Ino] = true
		}
		bytes, inodes = bytes+uint64(st.Blocks)*512, inodes+1
		return nil
	})
	return bytes, inodes
}
