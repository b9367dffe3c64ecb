// Package treecopy moves directory trees as tar archives, owners, modes and links included. What an archive says never
// leads out of the directory that it is unpacked to.
package treecopy

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Pack writes what is at name in dir, a file or a tree, under the name as.
func Pack(w io.Writer, dir *os.Root, name, as string) error {
	t := tar.NewWriter(w)
	links := map[[2]uint64]string{}
	var pack func(name, as string) error
	pack = func(name, as string) error {
		info, err := dir.Lstat(name)
		if err != nil {
			return err
		}
		h, err := header(dir, name, as, info)
		if err != nil || h == nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 && !info.IsDir() {
			key := [2]uint64{st.Dev, st.Ino}
			if first, ok := links[key]; ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			} else {
				links[key] = h.Name
			}
		}
		if err := writeEntry(t, dir, name, h); err != nil || !info.IsDir() {
			return err
		}
		entries, err := fs.ReadDir(dir.FS(), name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := pack(path.Join(name, e.Name()), path.Join(as, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	return errors.Join(pack(name, as), t.Close())
}

// header is nil for what archives cannot hold.
func header(dir *os.Root, name, as string, info fs.FileInfo) (*tar.Header, error) {
	if info.Mode()&fs.ModeSocket != 0 {
		return nil, nil
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = dir.Readlink(name); err != nil {
			return nil, err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	h.Name, h.Uname, h.Gname, h.Format = as, "", "", tar.FormatPAX
	if info.IsDir() {
		h.Name += "/"
	}
	return h, nil
}

func writeEntry(t *tar.Writer, dir *os.Root, name string, h *tar.Header) error {
	if h.Typeflag != tar.TypeReg {
		return t.WriteHeader(h)
	}
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(t, f, h.Size); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Unpack makes an archive's entries below dir. rename gives an entry another name, or "" to leave it out. With owners
// they are whose the archive says, else this process's.
func Unpack(r io.Reader, dir *os.Root, rename func(string) string, owners bool) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+rename(path.Clean(h.Name))), "/")
		if name == "" {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = strings.TrimPrefix(path.Clean("/"+rename(path.Clean(h.Linkname))), "/")
		}
		if err := place(t, dir, name, h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if err := finish(dir, name, h, owners); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func place(t io.Reader, dir *os.Root, name string, h *tar.Header) error {
	if err := dir.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeDir {
		if info, err := dir.Lstat(name); err == nil && info.IsDir() {
			return fmt.Errorf("cannot overwrite directory %s with a file", name)
		}
		if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := dir.Mkdir(name, 0o755); !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := dir.Stat(name); err != nil || !info.IsDir() {
			return errors.Join(fmt.Errorf("cannot overwrite file %s with a directory", name), err)
		}
		return nil
	case tar.TypeSymlink:
		return dir.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return dir.Link(h.Linkname, name)
	case tar.TypeReg:
		f, err := dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, t)
		return errors.Join(err, f.Close())
	default:
		return fmt.Errorf("an entry of type %c cannot be copied", h.Typeflag)
	}
}

func finish(dir *os.Root, name string, h *tar.Header, owners bool) error {
	if h.Typeflag == tar.TypeLink {
		return nil
	}
	if owners {
		if err := dir.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	return errors.Join(dir.Chmod(name, h.FileInfo().Mode()), dir.Chtimes(name, h.ModTime, h.ModTime))
}
