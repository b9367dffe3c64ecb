package node

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Limits of containers' logs, the kubelet's defaults.
const (
	logMostBytes = 10 << 20
	logMostFiles = 5
	rotateEvery  = 10 * time.Second
)

// rotateLogs keeps the logs of running containers within their limits.
func (n *Node) rotateLogs(ctx context.Context) {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := n.rotateOnce(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("logs could not be rotated", "err", err)
		}
	}
}

func (n *Node) rotateOnce(ctx context.Context) error {
	running, err := n.config.Runtime.ListContainers(ctx, &cri.ContainerFilter{State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}})
	if err != nil {
		return err
	}
	var failed error
	for _, c := range running {
		status, err := n.config.Runtime.ContainerStatus(ctx, c.Id)
		if err != nil || status.LogPath == "" {
			continue // it has gone
		}
		if info, err := os.Stat(status.LogPath); err != nil || info.Size() < logMostBytes {
			continue
		}
		failed = errors.Join(failed, n.rotate(ctx, c.Id, status.LogPath))
	}
	return failed
}

// rotate moves a log away, has the container write a new one, and compresses and removes old ones.
func (n *Node) rotate(ctx context.Context, id, path string) error {
	old, err := rotated(path)
	if err != nil {
		return err
	}
	for len(old) > logMostFiles-2 {
		if err := os.Remove(old[0]); err != nil {
			return err
		}
		old = old[1:]
	}
	for _, file := range old {
		if !strings.HasSuffix(file, ".gz") {
			if err := compress(file); err != nil {
				return err
			}
		}
	}
	aside := path + "." + time.Now().UTC().Format("20060102-150405.000000000")
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	if err := n.config.Runtime.ReopenContainerLog(ctx, id); err != nil {
		return errors.Join(fmt.Errorf("reopen %s: %w", path, err), os.Rename(aside, path))
	}
	return nil
}

// rotated are the files that a log was moved to, the oldest first.
func rotated(path string) ([]string, error) {
	files, err := filepath.Glob(path + ".*")
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".tmp") })
	slices.Sort(files)
	return files, nil
}

// compress replaces a file by its compressed form, in one step.
func compress(path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	part := path + ".tmp"
	to, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(to)
	_, err = io.Copy(z, from)
	if err = errors.Join(err, z.Close(), to.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path+".gz"); err != nil {
		return err
	}
	return os.Remove(path)
}
