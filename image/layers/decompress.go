package layers

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// window bounds what a zstandard or xz stream may make its reader keep in memory; of xz, its first block tells.
const window = 128 << 20

// Limits say what an archive may unpack to: more than Bytes is refused when it is more than Ratio times its size.
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

// Plain reads what an archive unpacks to; it stops when that is beyond any that is not made to fill disks.
type Plain struct {
	from   io.Reader
	packed *counter
	limits Limits
	out    int64
	free   func()
}

// headMost is how much of an archive tells what it is: a block of a tar file.
const headMost = 512

// Decompress recognises gzip, zstandard, bzip2 and xz by their first bytes; anything else is taken as it is.
func Decompress(r io.Reader, limits Limits) (*Plain, error) {
	packed := &counter{Reader: r}
	buffered := bufio.NewReaderSize(packed, 256<<10)
	head, err := buffered.Peek(headMost)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	p := &Plain{packed: packed, limits: limits.orDefault(), free: func() {}}
	p.from, err = p.open(compression(head), buffered, head)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Plain) open(name string, packed io.Reader, head []byte) (io.Reader, error) {
	var plain io.Reader
	var err error
	switch name {
	case "gzip":
		plain, err = gzip.NewReader(packed)
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(packed, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err == nil {
			plain, p.free = z, z.Close
		}
	case "bzip2":
		plain = bzip2.NewReader(packed)
	case "xz":
		if err = checkXZ(head); err == nil {
			plain, err = xz.NewReader(packed)
		}
	default:
		plain = packed
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return plain, nil
}

// compression is how an archive is packed, by its first bytes. Those of a tar file are a name, which may be any.
func compression(head []byte) string {
	switch {
	case isTar(head):
		return ""
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "gzip"
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return "zstd"
	case len(head) > 3 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18")): // a frame to skip
		return "zstd"
	case bytes.HasPrefix(head, []byte("BZh")):
		return "bzip2"
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return "xz"
	default:
		return ""
	}
}

func isTar(head []byte) bool {
	return len(head) >= headMost && bytes.Equal(head[257:262], []byte("ustar"))
}

// IsArchive tells by the first 512 bytes whether something is an archive, or compressed as one.
func IsArchive(head []byte) bool { return isTar(head) || compression(head) != "" }

// checkXZ refuses dictionaries beyond the window. A block's header follows the stream's 12 bytes (the .xz file format, 3.1): its
// size, flags, sizes if these say so, and its filters, of which LZMA2 is the last: id 0x21, one byte of properties.
func checkXZ(head []byte) error {
	if len(head) < 14 || head[12] == 0 { // no block
		return nil
	}
	filters := head[14:min(len(head), 12+4*(int(head[12])+1))]
	for _, flag := range []byte{0x40, 0x80} {
		if head[13]&flag != 0 {
			_, n := binary.Uvarint(filters)
			filters = filters[max(n, 0):]
		}
	}
	if len(filters) < 3 || filters[0] != 0x21 || filters[1] != 1 {
		return errors.New("its filter is not LZMA2 alone")
	}
	if bits := filters[2]; bits > 30 { // (2 | bits&1) << (bits/2 + 11); 30 is 128 MiB
		return fmt.Errorf("it needs more than %d MiB of memory", window>>20)
	}
	return nil
}

// Read implements io.Reader.
func (p *Plain) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	if bomb := p.Grow(int64(n)); bomb != nil {
		return 0, bomb
	}
	return n, err
}

// Grow counts bytes that come of the archive and are not in it: the holes of sparse files.
func (p *Plain) Grow(n int64) error {
	p.out += n
	if p.out > p.limits.Bytes && p.out > p.limits.Ratio*p.packed.n {
		return fmt.Errorf("unpacks to more than %d times its size: %d bytes of %d: it is made to fill disks", p.limits.Ratio, p.out, p.packed.n)
	}
	return nil
}

// drain reads what lies behind the end of what is compressed.
func (p *Plain) drain() error {
	_, err := io.Copy(io.Discard, p.packed)
	return err
}

// Close frees what the reader holds.
func (p *Plain) Close() { p.free() }

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
