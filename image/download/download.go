// Package download lets one goroutine fetch a blob into a file and another read it meanwhile. What has come stays when the
// connection breaks, for the next attempt.
package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// ErrAnother is a blob that does not hash to its digest.
var ErrAnother = errors.New("is not what its manifest says")

// File is one that one goroutine fills and another reads meanwhile.
type File struct {
	file *os.File
	size int64
	hash hash.Hash
	read int64

	mu      sync.Mutex
	more    sync.Cond
	written int64
	over    bool
	err     error // of the connection
}

// New fills f with a blob of so many bytes.
func New(f *os.File, size int64) *File {
	d := &File{file: f, size: size, hash: sha256.New()}
	d.more.L = &d.mu
	return d
}

// Begin takes what is there of the blob; more than it has is something else.
func (d *File) Begin() (before int64, err error) {
	info, err := d.file.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() > d.size {
		return 0, d.file.Truncate(0)
	}
	d.written = info.Size()
	return d.written, nil
}

// Fetch writes the rest of the blob, which open reads from some byte on. wrap may look at what comes.
func (d *File) Fetch(ctx context.Context, open func(ctx context.Context, from int64) (io.ReadCloser, error), wrap func(r io.Reader, before int64) io.Reader) error {
	if d.written == d.size {
		return nil
	}
	body, err := open(ctx, d.written)
	if err != nil {
		return err
	}
	defer body.Close()
	from := wrap(io.LimitReader(body, d.size-d.written+1), d.written)
	buffer := make([]byte, 256<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := d.file.WriteAt(buffer[:n], d.written); err != nil {
				return err
			}
			d.grow(int64(n))
		}
		if d.written > d.size {
			return fmt.Errorf("%w: the registry sends more than %d bytes", ErrAnother, d.size)
		}
		if errors.Is(err, io.EOF) {
			return d.whole()
		}
		if err != nil {
			return err
		}
	}
}

func (d *File) whole() error {
	if d.written < d.size {
		return fmt.Errorf("the registry sent %d of %d bytes: %w", d.written, d.size, io.ErrUnexpectedEOF)
	}
	return nil
}

func (d *File) grow(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written += n
	d.more.Broadcast()
}

// End says that nothing more comes, and why.
func (d *File) End(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over, d.err = true, err
	d.more.Broadcast()
}

// Broke tells whether the connection is to blame for the end.
func (d *File) Broke() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err != nil && !errors.Is(d.err, ErrAnother)
}

// Read gives what has come and waits for more.
func (d *File) Read(p []byte) (int, error) {
	d.mu.Lock()
	for d.read == d.written && !d.over {
		d.more.Wait()
	}
	there, err := d.written-d.read, d.err
	d.mu.Unlock()
	if there == 0 {
		if err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := d.file.ReadAt(p[:min(int64(len(p)), there)], d.read)
	d.hash.Write(p[:n])
	d.read += int64(n)
	return n, err
}

// Verify compares what was read with the digest.
func (d *File) Verify(digest string) error {
	if got := "sha256:" + hex.EncodeToString(d.hash.Sum(nil)); got != digest {
		return fmt.Errorf("%w: the registry sent a blob with digest %s", ErrAnother, got)
	}
	return nil
}
