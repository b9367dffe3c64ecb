package packed

import (
	"bytes"
	"testing"
)

func TestCallsOfOneFunctionLookTheSame(t *testing.T) {
	code := []byte{
		0xe8, 0x5b, 0, 0, 0, // call 0x1060, at 0x1000
		0x90, 0xe8, 0x55, 0, 0, 0, // nop; call 0x1060
		0x48, 0x8b, 0x05, 0x4e, 0, 0, 0, // mov rax, [0x1060]
		0x83, 0x3d, 0x48, 0, 0, 0, 0, // cmp [0x1060], 0
		0x8b, 0x44, 0x24, 0x08, // mov eax, [rsp+8]: not relative
	}
	want := []byte{
		0xe8, 0x5c, 0x10, 0, 0,
		0x90, 0xe8, 0x5c, 0x10, 0, 0,
		0x48, 0x8b, 0x05, 0x5c, 0x10, 0, 0,
		0x83, 0x3d, 0x5c, 0x10, 0, 0, 0,
		0x8b, 0x44, 0x24, 0x08,
	}
	shiftAddresses(part{data: code, at: 0x1000}, toAbsolute)
	if !bytes.Equal(code, want) {
		t.Errorf("got  %x\nwant %x", code, want)
	}
}

func TestATableOfGrowingNumbersIsFound(t *testing.T) {
	program := bytes.Repeat([]byte{0xff, 0, 0xaa, 0x80, 0x01, 0xc0, 0x55, 0}, 20)
	const start, records = 40, 10
	for i := range records {
		copy(program[start+i*recordSize:], []byte{byte(i * 4), 1, 0, 0, byte(i), 2, 0, 0})
	}
	if got, want := growing(program, 8), (span{start, start + records*recordSize}); got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
	table := part{data: program[start : start+records*recordSize]}
	differences(table)
	if last := table.data[len(table.data)-recordSize:]; !bytes.Equal(last, []byte{4, 0, 0, 0, 1, 0, 0, 0}) {
		t.Errorf("the last record has become %x", last)
	}
}

// FuzzFilters: whatever the bytes are, and whether or not they are code, they come back.
func FuzzFilters(f *testing.F) {
	f.Add([]byte{0xe8, 0xe8, 0x83, 0x3d, 0x8b, 0x05, 0x8d, 0x05, 0xe8, 0, 0, 0, 0, 0x89}, uint32(12345))
	f.Fuzz(func(t *testing.T, data []byte, at uint32) {
		got := part{data: bytes.Clone(data), at: at}
		shiftAddresses(got, toAbsolute)
		shiftAddresses(got, toRelative)
		differences(got)
		sums(got)
		if !bytes.Equal(got.data, data) {
			t.Errorf("%x came back as %x", data, got.data)
		}
	})
}
