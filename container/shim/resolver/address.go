package resolver

import (
	"strconv"
	"strings"
)

// parseAddress reads an address as DNS and sockets have it, in 4 or 16 bytes; nil if it is none. Zones belong to links,
// and are not for names.
func parseAddress(text string) []byte {
	if len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return nil
	}
	if strings.IndexByte(text, ':') < 0 {
		return parse4(text)
	}
	return parse6(text)
}

func parse4(text string) []byte {
	b := make([]byte, 0, 4)
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || len(b) == 4 || len(part) > 1 && part[0] == '0' {
			return nil
		}
		b = append(b, byte(n))
	}
	if len(b) != 4 {
		return nil
	}
	return b
}

// parse6 reads what RFC 4291, 2.2, describes.
func parse6(text string) []byte {
	before, after, gap := strings.Cut(text, "::")
	head, ok := groups(before, !gap)
	tail, ok2 := groups(after, true)
	size := len(head) + len(tail)
	if !ok || !ok2 || gap && size > 14 || !gap && size != 16 {
		return nil
	}
	b := make([]byte, 16)
	copy(b, head)
	copy(b[16-len(tail):], tail)
	return b
}

// groups reads groups of 16 bits with colons between them; the last 32 bits of an address may be written as IPv4's.
func groups(text string, last bool) (b []byte, ok bool) {
	if text == "" {
		return nil, true
	}
	parts := strings.Split(text, ":")
	for i, part := range parts {
		if last && i == len(parts)-1 && strings.IndexByte(part, '.') >= 0 {
			four := parse4(part)
			return append(b, four...), four != nil
		}
		n, err := strconv.ParseUint(part, 16, 16)
		if err != nil || len(part) > 4 || len(b) == 16 {
			return nil, false
		}
		b = append(b, byte(n>>8), byte(n))
	}
	return b, true
}

// reversed reads the name by which DNS asks for an address's name (RFC 1035, 3.5, and RFC 3596, 2.5); nil if it is none.
func reversed(name string) []byte {
	name = strings.ToLower(name)
	if text, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		b := parse4(text)
		if b != nil {
			b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
		}
		return b
	}
	text, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(text) != 63 {
		return nil
	}
	b := make([]byte, 16)
	for i := range 32 {
		n := strings.IndexByte("0123456789abcdef", text[2*i])
		if n < 0 || i > 0 && text[2*i-1] != '.' {
			return nil
		}
		b[15-i/2] |= byte(n) << (4 * (i % 2))
	}
	return b
}
