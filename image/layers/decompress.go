package layers

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// window bounds what a zstandard stream may make its reader keep in memory.
const window = 128 << 20

// Decompress recognises gzip, zstandard and bzip2 by their first bytes; anything else is taken as it is. done frees
// what the reader holds.
func Decompress(r io.Reader) (plain io.Reader, done func(), err error) {
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
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
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

// bomb is a reader of what a compressed reader unpacks to; it stops when that is beyond any layer that is not made
// to fill disks.
type bomb struct {
	plain      io.Reader
	compressed *counter
	limits     Limits
	out        int64
}

// Limits say what a layer may unpack to: more than Bytes is refused when it is more than Ratio times its archive.
type Limits struct {
	Bytes int64 // 8 GiB when zero
	Ratio int64 // 400 when zero
}

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = 8 << 30
	}
	if l.Ratio == 0 {
		l.Ratio = 400
	}
	return l
}

func (b *bomb) Read(p []byte) (int, error) {
	n, err := b.plain.Read(p)
	b.out += int64(n)
	if b.out > b.limits.Bytes && b.out > b.limits.Ratio*b.compressed.n {
		return 0, fmt.Errorf("unpacks to more than %d times its size: %d bytes of %d: it is made to fill disks",
			b.limits.Ratio, b.out, b.compressed.n)
	}
	return n, err
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
