// Package leases keeps layers and images from being swept while somebody makes or needs them. It sweeps nothing itself.
package leases

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dhow/internal/filelock"
)

// Dir is where the leases of one store are.
type Dir struct {
	// Path has a folder for each lease; Work one, of the same name, for what is made under it.
	Path, Work string
	// Publishing does something while nothing is swept.
	Publishing func(do func() error) error
	Log        *slog.Logger
}

// Lease keeps layers and images from being swept, and has a place for what is being made. It is a folder with an
// empty file for each thing that it holds; one without a name lives while its lock is held.
type Lease struct {
	in   Dir
	id   string
	name string

	once   sync.Once
	unlock func() // of a lease without a name
}

// files in a lease's folder
const (
	lockFile  = "lock"
	NameFile  = "name" // of one with a name
	heldLayer = "layer-"
	heldImage = "image-"
)

// Take makes a lease, or finds the one of that name.
func (d Dir) Take(name string) (*Lease, error) {
	sum := sha256.Sum256([]byte(name))
	l := &Lease{in: d, id: "named-" + hex.EncodeToString(sum[:]), name: name}
	if name == "" {
		l.id = "work-" + rand.Text()
	}
	err := d.Publishing(func() error {
		if name != "" {
			return l.mark()
		}
		err := os.MkdirAll(l.dir(), 0o700)
		if err != nil {
			return err
		}
		l.unlock, err = filelock.Lock(filepath.Join(l.dir(), lockFile), filelock.Exclusive)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take lease %s: %w", l, err)
	}
	return l, nil
}

// mark makes the folder of a lease with a name, and says that it was taken now.
func (l *Lease) mark() error {
	if err := os.MkdirAll(l.dir(), 0o700); err != nil {
		return err
	}
	file := filepath.Join(l.dir(), NameFile)
	if there, err := os.ReadFile(file); err == nil && string(there) == l.name {
		now := time.Now()
		return os.Chtimes(file, now, now)
	}
	return os.WriteFile(file, []byte(l.name), 0o600) // an empty one, of a crash, is none: see Living
}

// String is its name, or its id if it has none.
func (l *Lease) String() string {
	if l.name != "" {
		return l.name
	}
	return l.id
}

func (l *Lease) dir() string { return filepath.Join(l.in.Path, l.id) }

// Hold keeps layers from being swept, whether they are there already or not.
func (l *Lease) Hold(layers ...string) error { return l.hold(heldLayer, layers) }

// HoldImage keeps an image, which may have no name, from being pruned with its layers.
func (l *Lease) HoldImage(id string) error { return l.hold(heldImage, []string{id}) }

func (l *Lease) hold(kind string, digests []string) error {
	return l.in.Publishing(func() error {
		if l.name != "" { // another process may have released it
			if err := l.mark(); err != nil {
				return fmt.Errorf("lease %s: %w", l, err)
			}
		}
		for _, d := range digests {
			f, err := os.OpenFile(filepath.Join(l.dir(), kind+strings.TrimPrefix(d, "sha256:")), os.O_CREATE|os.O_WRONLY, 0o600)
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				return fmt.Errorf("lease %s: %w", l, err)
			}
		}
		return nil
	})
}

// Drop lets go of layers and images; what nobody else holds is swept later.
func (l *Lease) Drop(digests ...string) error {
	for _, d := range digests {
		for _, kind := range []string{heldLayer, heldImage} {
			err := os.Remove(filepath.Join(l.dir(), kind+strings.TrimPrefix(d, "sha256:")))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("lease %s: %w", l, err)
			}
		}
	}
	return nil
}

// Held are the digests of layers and images that it holds.
func (l *Lease) Held() (layers, images []string, err error) { return HeldIn(l.dir()) }

// HeldIn are those that the lease of a folder holds.
func HeldIn(dir string) (layers, images []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if digits, ok := strings.CutPrefix(e.Name(), heldLayer); ok {
			layers = append(layers, "sha256:"+digits)
		}
		if digits, ok := strings.CutPrefix(e.Name(), heldImage); ok {
			images = append(images, "sha256:"+digits)
		}
	}
	return layers, images, nil
}

// Work makes a folder for something in the making; it goes with the lease.
func (l *Lease) Work(pattern string) (string, error) {
	dir := filepath.Join(l.in.Work, l.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	apart(dir)
	return os.MkdirTemp(dir, pattern)
}

// topDir is EXT4_TOPDIR_FL (chattr +T): ext4 spreads the folders in such a folder over the disk.
const topDir = 0x00020000

// apart lets layers that are unpacked at once not look for free inodes in the same place, and not in the one where
// others were deleted just now: ext4 spares those for minutes, and passes by each of them for each new file. Other
// file systems know nothing of it.
func apart(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	if flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&topDir == 0 {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir) // it only goes slower
	}
}

// Release ends the lease. Nothing is swept by that: the next sweep finds what is left.
func (l *Lease) Release() error {
	var err error
	l.once.Do(func() {
		gone := filepath.Join(l.in.Work, "released-"+rand.Text()) // it goes as a whole: others may be holding by the same name
		err = errors.Join(os.RemoveAll(filepath.Join(l.in.Work, l.id)), l.in.Publishing(func() error {
			if err := os.Rename(l.dir(), gone); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}), os.RemoveAll(gone))
		if l.unlock != nil {
			l.unlock()
		}
	})
	return err
}

// End is Release for a defer whose error nobody is told.
func (l *Lease) End() {
	if err := l.Release(); err != nil {
		l.in.Log.Debug("lease left behind", "lease", l.String(), "err", err)
	}
}

// Living lists the folders of leases that somebody holds, and removes the others. The caller has the exclusive lock.
func (d Dir) Living() ([]string, error) {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return nil, err
	}
	var living []string
	for _, e := range entries {
		dir := filepath.Join(d.Path, e.Name())
		if info, err := os.Stat(filepath.Join(dir, NameFile)); err == nil && info.Size() > 0 {
			living = append(living, dir)
			continue
		}
		unlock, err := filelock.Lock(filepath.Join(dir, lockFile), filelock.Try)
		switch {
		case errors.Is(err, filelock.ErrHeld):
			living = append(living, dir)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		default:
			err = os.RemoveAll(dir)
			if unlock != nil {
				unlock()
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return living, nil
}
