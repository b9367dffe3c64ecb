package layers

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A recipe is a layer's archive without the contents of its files: with them it gives the archive back byte for
// byte, so that each layer is stored once and can be pushed and saved with its digest. It is a zstandard stream of
// chunks:
//
//	uvarint length, the archive's next bytes as they are
//	uvarint 0, uvarint size, uvarint inode, uvarint length, path: the content of a file
//
// A file that a later entry of the archive replaced lies in the folder replaced under its inode's number then.

// recorder passes an archive on to who unpacks it, hashes it and writes its recipe.
type recorder struct {
	archive *Plain
	file    *os.File
	packed  *zstd.Encoder
	hash    hash.Hash
	bytes   int64
	pending []byte // bytes that are in no chunk yet
	content bool   // what is read is the content of a file that stays on disk
	err     error
}

// pendingMost bounds a chunk.
const pendingMost = 64 << 10

func newRecorder(archive *Plain, path string) (*recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	packed, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &recorder{archive: archive, file: f, packed: packed, hash: sha256.New()}, nil
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.archive.Read(p)
	r.hash.Write(p[:n])
	r.bytes += int64(n)
	if !r.content {
		r.pending = append(r.pending, p[:n]...)
		if len(r.pending) >= pendingMost {
			r.flush()
		}
	}
	if r.err != nil {
		return n, fmt.Errorf("write the recipe of the archive: %w", r.err)
	}
	return n, err
}

func (r *recorder) flush() {
	if len(r.pending) == 0 || r.err != nil {
		return
	}
	_, r.err = r.packed.Write(binary.AppendUvarint(nil, uint64(len(r.pending))))
	if r.err == nil {
		_, r.err = r.packed.Write(r.pending)
	}
	r.pending = r.pending[:0]
}

// beginFile notes that the next size bytes are those of a file.
func (r *recorder) beginFile(path string, size int64, inode uint64) {
	r.flush()
	if r.err != nil {
		return
	}
	chunk := binary.AppendUvarint([]byte{0}, uint64(size))
	chunk = binary.AppendUvarint(chunk, inode)
	chunk = binary.AppendUvarint(chunk, uint64(len(path)))
	_, r.err = r.packed.Write(append(chunk, path...))
	r.content = true
}

func (r *recorder) endFile() { r.content = false }

func (r *recorder) close() error {
	r.flush()
	return errors.Join(r.err, r.packed.Close(), r.file.Close())
}

// Archive reads the plain archive of the layer in dir, the very bytes it was unpacked from.
func Archive(dir string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(dir, recipeFile))
	if err != nil {
		return nil, fmt.Errorf("layer cannot be read back: %w", err)
	}
	packed, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	root, err := unix.Open(Root(dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		packed.Close()
		return nil, errors.Join(fmt.Errorf("open layer: %w", err), f.Close())
	}
	return &replay{dir: dir, root: root, recipe: f, packed: packed, chunks: bufio.NewReader(packed)}, nil
}

// replay reads an archive from its recipe.
type replay struct {
	dir    string
	root   int
	recipe *os.File
	packed *zstd.Decoder
	chunks *bufio.Reader
	now    io.Reader // rest of the chunk
	left   int64
	file   *os.File // of now, or nil
}

func (r *replay) Read(p []byte) (int, error) {
	for r.left == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n, err := r.now.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 {
			err = fmt.Errorf("layer %s is damaged: a part is shorter than it was: %w", r.dir, io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

func (r *replay) next() error {
	r.closeFile()
	length, err := binary.ReadUvarint(r.chunks)
	if err != nil {
		return err // io.EOF at the end
	}
	if length > 0 {
		r.now, r.left = r.chunks, int64(length)
		return nil
	}
	size, err1 := binary.ReadUvarint(r.chunks)
	inode, err2 := binary.ReadUvarint(r.chunks)
	length, err3 := binary.ReadUvarint(r.chunks)
	if err := errors.Join(err1, err2, err3); err != nil || length > unix.PathMax {
		return fmt.Errorf("layer %s is damaged: %w", r.dir, errors.Join(err, io.ErrUnexpectedEOF))
	}
	path := make([]byte, length)
	if _, err := io.ReadFull(r.chunks, path); err != nil {
		return err
	}
	if r.file, err = r.open(string(path), inode); err != nil {
		return fmt.Errorf("layer %s is damaged: %w", r.dir, err)
	}
	r.now, r.left = r.file, int64(size)
	return nil
}

func (r *replay) open(path string, inode uint64) (*os.File, error) {
	replaced := filepath.Join(r.dir, replacedDir, strconv.FormatUint(inode, 10))
	if f, err := os.Open(replaced); err == nil {
		return f, nil
	}
	fd, err := unix.Openat2(r.root, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (r *replay) closeFile() {
	if r.file != nil {
		r.file.Close()
	}
	r.file = nil
}

func (r *replay) Close() error {
	r.closeFile()
	r.packed.Close()
	unix.Close(r.root)
	return r.recipe.Close()
}
