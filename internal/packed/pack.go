package packed

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// Compress makes one zstd frame of data.
type Compress func(data []byte) ([]byte, error)

// Pack compresses a program.
func Pack(program []byte, compress Compress) ([]byte, error) {
	sum := sha256.Sum256(program)
	pieces := (len(program) + pieceSize - 1) / pieceSize
	head := header{Magic: [len(magic)]byte([]byte(magic)), Name: [nameSize]byte(sum[:nameSize]), Length: uint64(len(program)), Pieces: uint32(pieces)}
	head.Code, head.Table = spans(program)
	frames := make([][]byte, pieces)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range frames {
		group.Go(func() (err error) {
			at := i * pieceSize
			piece := bytes.Clone(program[at:min(at+pieceSize, len(program))])
			shiftAddresses(head.Code.within(piece, uint64(at)), toAbsolute)
			differences(head.Table.within(piece, uint64(at)))
			frames[i], err = compress(piece)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	lengths := make([]uint32, pieces)
	for i, frame := range frames {
		lengths[i] = uint32(len(frame))
	}
	var out bytes.Buffer
	if err := errors.Join(binary.Write(&out, binary.LittleEndian, head), binary.Write(&out, binary.LittleEndian, lengths)); err != nil {
		return nil, err
	}
	return append(out.Bytes(), bytes.Join(frames, nil)...), nil
}

// Library compresses with what is linked in.
func Library(data []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	return enc.EncodeAll(data, nil), nil
}

// Tool compresses with zstd(1), which takes three times as long and makes a tenth less.
func Tool(data []byte) ([]byte, error) {
	cmd := exec.Command("zstd", "-19", "--single-thread", "--quiet", "--stdout", fmt.Sprintf("--stream-size=%d", len(data)))
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", cmd, err)
	}
	return out, nil
}

// spans are where filters help: in the code of a program of Go for x86-64, and in its table of functions. Both are empty for others.
func spans(program []byte) (code, table span) {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil || f.Machine != elf.EM_X86_64 {
		return span{}, span{}
	}
	defer f.Close()
	if text := f.Section(".text"); text != nil {
		code = span{text.Offset, text.Offset + text.FileSize}
	}
	if lines := f.Section(".gopclntab"); lines != nil && lines.Offset+lines.FileSize <= uint64(len(program)) {
		table = growing(program[:lines.Offset+lines.FileSize], lines.Offset)
	}
	return code, table
}

// growing finds the longest run of records of which both numbers grow, by little.
func growing(program []byte, from uint64) (longest span) {
	const little = 1 << 20
	run := span{from, from}
	for at := (from + recordSize - 1) / recordSize * recordSize; at+2*recordSize <= uint64(len(program)); at += recordSize {
		now, next := program[at:], program[at+recordSize:]
		for number := 0; number < recordSize; number += 4 {
			if binary.LittleEndian.Uint32(next[number:])-binary.LittleEndian.Uint32(now[number:]) >= little {
				run.Start = at + recordSize
			}
		}
		run.End = at + 2*recordSize
		if run.Start < run.End && run.End-run.Start > longest.End-longest.Start {
			longest = run
		}
	}
	return longest
}
