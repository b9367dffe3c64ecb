package image

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// emptyLayer is the diff id of an archive without entries.
const emptyLayer = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// have says whether a layer is unpacked already.
func (s *Store) have(diffID string) bool {
	_, err := os.Stat(s.layer(diffID))
	return err == nil
}

// addLayer unpacks a layer's archive, compressed or not, unless the store has it. What does not hash to diffID
// leaves nothing behind. Two processes that add one layer take turns.
func (s *Store) addLayer(diffID string, open func() (io.ReadCloser, error)) error {
	if s.have(diffID) {
		return nil
	}
	unlock, err := flock(s.path("layers", bare(diffID)+".lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if s.have(diffID) {
		return nil
	}
	tmp, err := os.MkdirTemp(s.path("tmp"), "layer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	root := filepath.Join(tmp, "fs")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	implied, err := unpack(diffID, open, root)
	if err != nil {
		return err
	}
	if err := putImplied(tmp, implied); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	return os.Rename(tmp, s.path("layers", bare(diffID)))
}

func unpack(diffID string, open func() (io.ReadCloser, error), root string) (implied map[string]bool, err error) {
	compressed, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, compressed.Close()) }()
	plain, done, err := decompress(compressed)
	if err != nil {
		return nil, err
	}
	defer done()
	hash := sha256.New()
	archive := io.TeeReader(plain, hash)
	if implied, err = untarInto(archive, root); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, archive); err != nil { // what lies behind the archive's end counts too
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != diffID {
		return nil, fmt.Errorf("layer has digest %s, its image says %s", got, diffID)
	}
	return implied, nil
}

// decompress recognises gzip, zstd and bzip2 by their first bytes; anything else is taken as it is.
func decompress(r io.Reader) (plain io.Reader, done func(), err error) {
	buffered := bufio.NewReaderSize(r, 256<<10)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("read layer: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return z, func() { z.Close() }, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzip2.NewReader(buffered), func() {}, nil
	default:
		return buffered, func() {}, nil
	}
}
