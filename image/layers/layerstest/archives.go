// Package layerstest makes archives of layers for tests.
package layerstest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Archive is the tar file of some entries, in which each plain file holds an x.
func Archive(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := []byte("x")
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Regular is a plain file.
func Regular(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: name} }

// Folder is a directory.
func Folder(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeDir, Name: name} }

// Exists are those of some paths under root that are there, with a blank between them.
func Exists(root string, names ...string) string {
	var there []string
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			there = append(there, name)
		}
	}
	return strings.Join(there, " ")
}

// Extract unpacks an archive of plain files and folders.
func Extract(t testing.TB, r io.Reader, dir string) {
	t.Helper()
	entries := tar.NewReader(r)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var data []byte
			if data, err = io.ReadAll(entries); err == nil {
				err = os.WriteFile(path, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
