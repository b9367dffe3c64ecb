// Package imagebuild makes small container images of files at hand, for demonstrations and tests: no
// Dockerfile, no base image. It can serve a registry on loopback as well.
package imagebuild

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is one entry of an image's only layer.
type File struct {
	Path string // in the image, absolute
	// One of: Data; Source, a file on disk; Link, the target of a symbolic link; or none for a directory.
	Data   []byte
	Source string
	Link   string
	Mode   fs.FileMode // when zero: 0644, 0755 for directories, Source's own; 01777 and the like are understood
}

// Image makes an image of files that runs as config says.
func Image(config v1.Config, files ...File) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(write(w, files)) }()
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	return mutate.ConfigFile(image, file)
}

func write(w io.Writer, files []File) error {
	t := tar.NewWriter(w)
	made := map[string]bool{"/": true}
	for _, f := range files {
		if err := writeParents(t, made, path.Dir(f.Path)); err != nil {
			return err
		}
		if err := writeEntry(t, made, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return t.Close()
}

func writeParents(t *tar.Writer, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	if err := writeParents(t, made, path.Dir(dir)); err != nil {
		return err
	}
	return writeEntry(t, made, File{Path: dir})
}

func writeEntry(t *tar.Writer, made map[string]bool, f File) error {
	h := &tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Mode: unixMode(f.Mode)}
	var content io.Reader
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
	case f.Source != "":
		file, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		h.Typeflag, h.Size, content = tar.TypeReg, info.Size(), file
		if f.Mode == 0 {
			h.Mode = unixMode(info.Mode())
		}
	case f.Data != nil:
		h.Typeflag, h.Size, content = tar.TypeReg, int64(len(f.Data)), bytes.NewReader(f.Data)
		if f.Mode == 0 {
			h.Mode = 0o644
		}
	default:
		if made[f.Path] && f.Mode == 0 {
			return nil
		}
		made[f.Path] = true
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		if f.Mode == 0 {
			h.Mode = 0o755
		}
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if content == nil {
		return nil
	}
	_, err := io.Copy(t, content)
	return err
}

// unixMode is a mode as Linux and archives write it; set-uid, set-gid and sticky may be Linux' bits or Go's.
func unixMode(m fs.FileMode) int64 {
	mode := int64(m & 0o7777)
	for bit, unix := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= unix
		}
	}
	return mode
}

// Push sends an image to a registry; those on loopback are spoken to without TLS.
func Push(ctx context.Context, image v1.Image, ref string) error {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	if err := remote.Write(parsed, image, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}

// WriteArchive makes an archive as docker save does.
func WriteArchive(image v1.Image, ref, file string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return tarball.WriteToFile(file, tag, image)
}

// Registry is a registry that keeps its images in memory.
func Registry() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }
