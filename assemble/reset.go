//go:build !nocluster

package assemble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"dhow/container"
	"dhow/image"
	"dhow/internal/mounts"
	"dhow/network"
	"dhow/proxy"
)

// Reset removes every trace of a server from the machine: containers, control groups, links, nftables tables,
// mounts, data. ErrRunning while a server runs on the same root. A trace that cannot be removed does not keep the
// others; all are told.
func Reset(ctx context.Context, c ServerConfig, dirs ...string) error {
	release, err := takeLock(c.Lock)
	if err != nil {
		return err
	}
	defer release()
	say := func(format string, args ...any) { fmt.Fprintf(c.Progress, format+"\n", args...) }
	say("containers")
	failed := c.resetContainers(ctx)
	say("service rules and pod network")
	failed = errors.Join(failed, proxy.Reset(c.proxy(nil)), network.Reset(c.network()))
	say("mounts")
	for _, dir := range dirs {
		failed = errors.Join(failed, mounts.UnmountBelow(dir))
	}
	if failed != nil {
		return failed // data stays while something may use it
	}
	say("data")
	for _, dir := range dirs {
		failed = errors.Join(failed, removeData(dir))
	}
	return failed
}

// removeData removes a directory. Commands that wait for containers may be taking down their ends there.
func removeData(dir string) error {
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := os.RemoveAll(dir)
		if !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

// resetContainers leaves their links to network.Reset: no network runs that could detach them.
func (c ServerConfig) resetContainers(ctx context.Context) error {
	images, err := image.New(image.Config{Dir: c.Images, Log: c.Log})
	if err != nil {
		return err
	}
	standalone, _, err := Standalone(c.Local, nil)
	if err != nil {
		return err
	}
	config := c.container(images, nil)
	config.Network = nil
	return errors.Join(standalone.Reset(ctx), container.Reset(ctx, config))
}
