// Package packed keeps a program compressed within another one: in pieces, so that all processors unpack it together.
package packed

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A packed program is, in little endian:
//
//	magic     8 bytes
//	name      16 bytes, the first of the program's SHA-256
//	size      uint64, bytes of the program
//	code      two uint64, offsets in the program: where addresses were made absolute (filter.go)
//	table     two uint64: where numbers were replaced by differences
//	pieces    uint32, then a uint32 for each: its compressed length
//	frames    one zstd frame (RFC 8878) a piece, each of pieceSize bytes but for the last
const (
	magic     = "dhowpak2"
	nameSize  = 16
	pieceSize = 8 << 20
	// largest is far above what a program has, and keeps a damaged head from taking all memory.
	largest = 1 << 30
	// pageCluster is how much is written at once. The kernel keeps as large a block of memory for a file as was written in
	// one go, and maps such a block whole where one page of it is touched: 4 MB at once cost the daemon 60 MB of resident set.
	pageCluster = 16 << 10
)

// header is what precedes the lengths of the pieces.
type header struct {
	Magic       [len(magic)]byte
	Name        [nameSize]byte
	Length      uint64
	Code, Table span
	Pieces      uint32
}

// Program is a packed program.
type Program struct {
	header
	frames [][]byte
}

// Open reads the head of what Pack made. The program's pieces stay in data.
func Open(data []byte) (*Program, error) {
	p := &Program{}
	r := bytes.NewReader(data)
	if err := binary.Read(r, binary.LittleEndian, &p.header); err != nil || string(p.Magic[:]) != magic {
		return nil, errors.New("not a packed program")
	}
	if p.Length > largest || uint64(p.Pieces) != (p.Length+pieceSize-1)/pieceSize {
		return nil, fmt.Errorf("packed program: %d pieces cannot be %d bytes", p.Pieces, p.Length)
	}
	lengths := make([]uint32, p.Pieces)
	if err := binary.Read(r, binary.LittleEndian, lengths); err != nil {
		return nil, fmt.Errorf("packed program: lengths of the pieces: %w", err)
	}
	rest := data[len(data)-r.Len():]
	for i, n := range lengths {
		if uint64(n) > uint64(len(rest)) {
			return nil, fmt.Errorf("packed program: it ends in piece %d of %d", i+1, p.Pieces)
		}
		p.frames = append(p.frames, rest[:n])
		rest = rest[n:]
	}
	return p, nil
}

// Size is how many bytes the program has.
func (p *Program) Size() int64 { return int64(p.Length) }

// Version is the same for the same program, and another for another: 32 hex digits.
func (p *Program) Version() string { return hex.EncodeToString(p.header.Name[:]) }

// Unpack writes the program into an empty file.
func (p *Program) Unpack(f *os.File) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(pieceSize))
	if err != nil {
		return err
	}
	defer dec.Close()
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range p.frames {
		group.Go(func() error {
			piece, err := dec.DecodeAll(p.frames[i], make([]byte, 0, pieceSize))
			if err != nil {
				return fmt.Errorf("packed program: piece %d: %w", i+1, err)
			}
			at := uint64(i) * pieceSize
			shiftAddresses(p.Code.within(piece, at), toRelative)
			sums(p.Table.within(piece, at))
			return writeSmall(f, piece, int64(at))
		})
	}
	return group.Wait()
}

// InMemory unpacks the program into a file in memory (memfd_create(2)), for whoever has no place on disk.
func (p *Program) InMemory() (*os.File, error) {
	fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all could be executed
		fd, err = unix.MemfdCreate("program", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "program")
	defer f.Close() // what is open for writing cannot be executed
	if err := p.Unpack(f); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

func writeSmall(f *os.File, data []byte, at int64) error {
	for len(data) > 0 {
		n := min(len(data), pageCluster)
		if _, err := f.WriteAt(data[:n], at); err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}
