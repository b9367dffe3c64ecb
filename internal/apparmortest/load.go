// Package apparmortest loads AppArmor profiles for tests. It compiles no rules.
package apparmortest

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

// Mode says what becomes of what a profile does not allow (security/apparmor/policy_unpack.c).
type Mode uint32

// The modes: all is forbidden, or allowed and logged.
const (
	Enforce  Mode = 0
	Complain Mode = 1
)

const dir = "/sys/kernel/security/apparmor/"

// Load loads a profile without rules for as long as a test runs. The kernel must have AppArmor enabled.
func Load(t testing.TB, name string, mode Mode) {
	t.Helper()
	if err := os.WriteFile(dir+".load", compiled(name, mode), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(dir+".remove", []byte(name), 0); err != nil {
			t.Error(err)
		}
	})
}

// The codes of what a compiled profile is made of.
const (
	number = 2
	tag    = 4
	text   = 5
	open   = 7
	end    = 8
)

// compiled is the smallest profile that the kernel takes.
func compiled(name string, mode Mode) []byte {
	var b bytes.Buffer
	words := func(code byte, s string) {
		b.WriteByte(code)
		_ = binary.Write(&b, binary.LittleEndian, uint16(len(s)+1))
		b.WriteString(s + "\x00")
	}
	numbers := func(all ...uint32) {
		for _, n := range all {
			b.WriteByte(number)
			_ = binary.Write(&b, binary.LittleEndian, n)
		}
	}
	words(tag, "version")
	numbers(5)
	words(tag, "profile")
	b.WriteByte(open)
	words(text, name)
	words(tag, "flags")
	b.WriteByte(open)
	numbers(0, uint32(mode), 0)
	b.WriteByte(end)
	numbers(0, 0, 0, 0) // capabilities
	b.WriteByte(end)
	return b.Bytes()
}
