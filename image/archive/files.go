// Package archive reads and writes images as files: OCI layouts, and what docker save writes. It stores nothing.
package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"dhow/image/spec"
)

// files is where the parts of images lie: a directory, or a tar file.
type files interface {
	// open opens a plain file; fs.ErrNotExist.
	open(name string) (content io.ReadCloser, size int64, err error)
}

// directory is an OCI layout as a folder; nothing outside it can be read.
type directory struct{ root *os.Root }

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no plain file", name)
	}
	f, err := d.root.Open(name)
	return f, info.Size(), err
}

// tarball is a tar file whose entries are found by name.
type tarball struct {
	at      io.ReaderAt
	entries map[string]entry
}

type entry struct {
	from, size int64
	link       string
}

const (
	// entriesMost bounds the entries of an archive of images: they are few and large.
	entriesMost = 100_000
	linksMost   = 8
)

// newTarball finds where the entries of a tar file lie. Links are only what old docker saves had: to other entries.
func newTarball(f io.ReadSeeker, at io.ReaderAt) (*tarball, error) {
	t := &tarball{at: at, entries: map[string]entry{}}
	headers := tar.NewReader(f)
	for {
		h, err := headers.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("it is no archive of images: %w", err)
		}
		if len(t.entries) >= entriesMost {
			return nil, fmt.Errorf("it is no archive of images: it has more than %d entries", entriesMost)
		}
		if err := t.add(h, f); err != nil {
			return nil, err
		}
	}
	if len(t.entries) == 0 {
		return nil, errors.New("it is no archive of images: it is empty")
	}
	return t, nil
}

func (t *tarball) add(h *tar.Header, f io.Seeker) error {
	name := clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink:
		t.entries[name] = entry{link: clean(path.Join(path.Dir(name), h.Linkname))}
		return nil
	case tar.TypeLink:
		t.entries[name] = entry{link: clean(h.Linkname)}
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("%s is no plain file", h.Name)
	}
	from, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	if from+h.Size > end {
		return fmt.Errorf("%s: it is cut off: %w", h.Name, io.ErrUnexpectedEOF)
	}
	t.entries[name] = entry{from: from, size: h.Size}
	return nil
}

// clean spells a name of an archive so that it cannot lead out of it.
func clean(name string) string { return path.Clean("/" + name)[1:] }

func (t *tarball) open(name string) (io.ReadCloser, int64, error) {
	name = clean(name)
	for range linksMost {
		e, ok := t.entries[name]
		if !ok {
			return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if e.link == "" {
			return io.NopCloser(io.NewSectionReader(t.at, e.from, e.size)), e.size, nil
		}
		name = e.link
	}
	return nil, 0, fmt.Errorf("%s: too many links", name)
}

// documentMost bounds manifests and configs.
const documentMost = 4 << 20

// document reads a small file whole.
func document(from files, name string) ([]byte, error) {
	content, size, err := from.open(name)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if size > documentMost {
		return nil, fmt.Errorf("%s: %d bytes are more than the %d MiB of any manifest", name, size, documentMost>>20)
	}
	data, err := io.ReadAll(io.LimitReader(content, documentMost))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := spec.CheckDocument(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
