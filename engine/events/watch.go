package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watcher hears of changes to the files in a directory (inotify(7)).
type watcher struct{ *os.File }

func watch(dir string) (watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return watcher{}, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := watcher{os.NewFile(uintptr(fd), "inotify")}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		w.Close()
		return watcher{}, fmt.Errorf("watch %s: %w", dir, err)
	}
	return w, nil
}

// wait returns after a change, or when ctx ends.
func (w watcher) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = w.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := w.Read(make([]byte, 4096)) // what has changed does not matter
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
