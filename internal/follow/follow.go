// Package follow has configuration follow its files: a changed file is applied, a bad one is told and leaves what is
// in force as it was.
package follow

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/util/filesystem"
)

// lookEvery is how often files are looked at where the kernel does not tell of changes.
const lookEvery = time.Minute

// File is one file that is in force.
type File struct {
	Path string
	// Data is what is in force.
	Data []byte
	// Apply puts what the file now holds in force, or says what is wrong with it, which is logged.
	Apply func(ctx context.Context, data []byte) error
	// Optional: no file is as good as an empty one.
	Optional bool
	// Failed and Applied are told how it went; they may be nil.
	Failed  func()
	Applied func(data []byte)
	Log     *slog.Logger

	mu  sync.Mutex
	bad []byte // what could not be applied, not to try (and tell) it again
}

// Run follows the file until ctx ends.
func (f *File) Run(ctx context.Context) {
	watched := f.Path
	if f.Optional {
		watched = filepath.Dir(watched) // what is not there cannot be watched
	}
	filesystem.WatchUntil(ctx, lookEvery, watched, func() { f.look(ctx) }, func(err error) {
		f.Log.Debug("file is not watched; it is looked at once a minute", "file", f.Path, "err", err)
	})
}

func (f *File) look(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := os.ReadFile(f.Path)
	if f.Optional && errors.Is(err, fs.ErrNotExist) {
		data, err = nil, nil
	}
	if err != nil { // it may be on its way back
		f.fail("file cannot be read; what it held stays in force", err)
		return
	}
	if bytes.Equal(data, f.Data) || f.bad != nil && bytes.Equal(data, f.bad) {
		return
	}
	if err := f.Apply(ctx, data); err != nil {
		f.bad = data
		f.fail("file is not applied; what it held before stays in force", err)
		return
	}
	f.Data, f.bad = data, nil
	f.Log.Info("file applied", "file", f.Path)
	if f.Applied != nil {
		f.Applied(data)
	}
}

func (f *File) fail(message string, err error) {
	f.Log.Error(message, "file", f.Path, "err", err)
	if f.Failed != nil {
		f.Failed()
	}
}
