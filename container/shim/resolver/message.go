package resolver

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Of RFC 1035, 3.2.2, 3.2.4 and 4.1.1.
const (
	typeA    = 1
	typePTR  = 12
	typeAAAA = 28
	classIN  = 1

	headerSize  = 12
	longestName = 255

	isResponse  = 0x80 // in the third byte
	opcodes     = 0x78
	isTruncated = 0x02
	wantsMore   = 0x01 // recursion
	hasMore     = 0x80 // in the fourth byte

	rcodes         = 0x0f
	formatError    = 1
	serverFailure  = 2
	notImplemented = 4
	refused        = 5
)

// ttl is docker's, in seconds.
const ttl = 600

// question is what a query asks.
type question struct {
	raw  []byte // as in the query
	name string // with dots between its labels and none at the end; empty: nothing that a hosts file could have
	kind uint16
}

// parse reads a query. A code that is not 0 is all there is to answer; a packet that is no query has no answer at all.
func parse(packet []byte) (q question, code byte, isQuery bool) {
	if len(packet) < headerSize || packet[2]&isResponse != 0 {
		return q, 0, false
	}
	if packet[2]&opcodes != 0 {
		return q, notImplemented, true
	}
	if binary.BigEndian.Uint16(packet[4:]) != 1 {
		return q, formatError, true
	}
	rest := packet[headerSize:]
	name, n, ok := readName(rest)
	if !ok || len(rest) < n+4 {
		return q, formatError, true
	}
	q.raw, q.kind = rest[:n+4], binary.BigEndian.Uint16(rest[n:])
	if binary.BigEndian.Uint16(rest[n+2:]) == classIN {
		q.name = name
	}
	return q, 0, true
}

// readName reads a name that is not compressed, as those of questions are, and says how long it is.
func readName(b []byte) (name string, n int, ok bool) {
	var text strings.Builder
	plain := true
	for {
		if n >= len(b) || n >= longestName {
			return "", 0, false
		}
		size := int(b[n])
		n++
		if size == 0 {
			break
		}
		if size > 63 || n+size > len(b) {
			return "", 0, false
		}
		label := b[n : n+size]
		n += size
		plain = plain && !bytes.ContainsAny(label, ". \t\n\r\v\f#")
		if text.Len() > 0 {
			text.WriteByte('.')
		}
		text.Write(label)
	}
	if !plain {
		return "", n, true
	}
	return text.String(), n, true
}

// writeName is the reverse; not ok: DNS has no such name.
func writeName(name []byte) (b []byte, ok bool) {
	for label := range bytes.SplitSeq(bytes.TrimSuffix(name, []byte(".")), []byte(".")) {
		if len(label) == 0 || len(label) > 63 {
			return nil, false
		}
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	return b, len(b) <= longestName
}

// failure is an answer that says only that there is none, and why.
func failure(packet []byte, q question, code byte) []byte {
	b := header(packet, q)
	b[3] |= code
	return b
}

// header begins the answer to a packet.
func header(packet []byte, q question) []byte {
	b := make([]byte, headerSize, headerSize+len(q.raw))
	copy(b, packet[:2])
	b[2] = isResponse | packet[2]&(opcodes|wantsMore)
	b[3] = hasMore
	if len(q.raw) > 0 {
		b[5] = 1
		b = append(b, q.raw...)
	}
	return b
}

// answer has a record of the question's name and type for each of data, as many as fit.
func answer(packet []byte, q question, data [][]byte, limit int) []byte {
	b := header(packet, q)
	count := 0
	for _, d := range data {
		if len(b)+12+len(d) > limit {
			b[2] |= isTruncated
			break
		}
		b = append(b, 0xc0, headerSize) // the question's name
		b = binary.BigEndian.AppendUint16(b, q.kind)
		b = binary.BigEndian.AppendUint16(b, classIN)
		b = binary.BigEndian.AppendUint32(b, ttl)
		b = binary.BigEndian.AppendUint16(b, uint16(len(d)))
		b = append(b, d...)
		count++
	}
	binary.BigEndian.PutUint16(b[6:], uint16(count))
	return b
}

// answers says whether a packet is an answer to a query. A server that reports an error may leave the question out.
func answers(packet, query []byte, q question) bool {
	if len(packet) < headerSize || packet[2]&isResponse == 0 || !bytes.Equal(packet[:2], query[:2]) {
		return false
	}
	if binary.BigEndian.Uint16(packet[4:]) == 0 {
		return packet[3]&rcodes != 0
	}
	end := headerSize + len(q.raw)
	return len(packet) >= end && bytes.EqualFold(packet[headerSize:end], q.raw)
}
