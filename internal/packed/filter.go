package packed

import "encoding/binary"

// A program is compressed better when what is the same looks the same. Calls of one function, and uses of one variable, have
// other bytes each time, because machine code of x86-64 says how far away they are: as offsets in the program, they
// repeat. And two numbers that grow from one record of a table to the next differ by little that is new. This makes a
// quarter of a packed program.

// span is a part of a program, by offsets.
type span struct{ Start, End uint64 }

// part is what of a span is in one piece, and where in the program it begins.
type part struct {
	data []byte
	at   uint32
}

func (s span) within(piece []byte, at uint64) part {
	start, end := max(s.Start, at), min(s.End, at+uint64(len(piece)))
	if start >= end {
		return part{}
	}
	return part{data: piece[start-at : end-at], at: uint32(start)}
}

// What shiftAddresses multiplies an address's own place by.
const (
	toAbsolute uint32 = 1
	toRelative        = ^uint32(0)
)

// shiftAddresses adds to each address in machine code where it is itself, or takes that away. It reads the same instructions before
// and after, and none of them right: what is not an instruction comes back as it was, too.
func shiftAddresses(code part, sign uint32) {
	data := code.data
	for i := 0; i+6 <= len(data); i++ {
		if !mayHaveAddress[data[i]] {
			continue
		}
		opcode := addressAfter(data[i], data[i+1])
		if opcode == 0 {
			continue
		}
		i += opcode
		add(data[i:i+4], sign*(code.at+uint32(i)))
		i += 3
	}
}

// First bytes of the instructions whose addresses are shifted.
const (
	call      = 0xe8
	store     = 0x89 // mov to memory
	load      = 0x8b // mov from memory
	addressOf = 0x8d // lea
	compare   = 0x83 // cmp with a small number, as before each write of a pointer
)

// mayHaveAddress keeps the pace where most bytes are none of these.
var mayHaveAddress = [256]bool{call: true, store: true, load: true, addressOf: true, compare: true}

// addressAfter is how many bytes precede the relative address of the instruction that begins with two bytes, 0 where it has none.
func addressAfter(first, second byte) int {
	const relative = 0x05 // the ModRM byte of [rip+disp32], but for the register
	switch {
	case first == call:
		return 1
	case first == compare && second == 0x38|relative, first != compare && second&0xc7 == relative:
		return 2
	default:
		return 0
	}
}

// recordSize is that of two little-endian uint32.
const recordSize = 8

// differences replaces the numbers of a table by how much they have grown since the record before.
func differences(table part) {
	for i := len(table.data)/4*4 - 4; i >= recordSize; i -= 4 {
		add(table.data[i:], -binary.LittleEndian.Uint32(table.data[i-recordSize:]))
	}
}

// sums is the way back from differences.
func sums(table part) {
	for i := recordSize; i+4 <= len(table.data); i += 4 {
		add(table.data[i:], binary.LittleEndian.Uint32(table.data[i-recordSize:]))
	}
}

func add(number []byte, n uint32) {
	binary.LittleEndian.PutUint32(number, binary.LittleEndian.Uint32(number)+n)
}
