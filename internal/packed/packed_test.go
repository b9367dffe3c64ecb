package packed

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
)

// program is random bytes, of somewhat more than two pieces.
func program(t testing.TB) []byte {
	t.Helper()
	data := make([]byte, 2*pieceSize+12345)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return data
}

func packedProgram(t testing.TB, data []byte) *Program {
	t.Helper()
	out, err := Pack(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPlacedProgramIsTheOneThatWasPacked(t *testing.T) {
	want, dir := program(t), t.TempDir()
	path, err := packedProgram(t, want).Place(dir, "boot0001", "dhow")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAProgramIsUnpackedOnceABoot(t *testing.T) {
	p, dir := packedProgram(t, program(t)), t.TempDir()
	place := func(boot string) os.FileInfo {
		path, err := p.Place(dir, boot, "dhow")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := place("boot0001")
	if !os.SameFile(first, place("boot0001")) {
		t.Error("unpacked a second time")
	}
	if os.SameFile(first, place("boot0002")) {
		t.Error("used what an earlier boot has left")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: what an earlier boot has left is still there", entries, err)
	}
}

func TestVersionsOfOneBootLiveSideBySide(t *testing.T) {
	dir := t.TempDir()
	one, err := packedProgram(t, []byte("one")).Place(dir, "boot0001", "dhow")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := packedProgram(t, []byte("another")).Place(dir, "boot0001", "dhow"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(one); err != nil || string(data) != "one" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestAFileOfAnotherSizeIsReplaced(t *testing.T) {
	p, dir := packedProgram(t, []byte("whole")), t.TempDir()
	path := filepath.Join(dir, p.Name()+"-boot0001", "dhow")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("who"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Place(dir, "boot0001", "dhow"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "whole" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestADamagedPackIsRefused(t *testing.T) {
	good, err := Pack(program(t))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(good)
	changed[len(changed)/2] ^= 1
	for name, data := range map[string][]byte{
		"nothing": nil, "a head only": good[:20], "lengths cut off": good[:40], "cut off": good[:len(good)-1], "changed": changed, "other": make([]byte, 100),
	} {
		dir := t.TempDir()
		p, err := Open(data)
		if err == nil {
			_, err = p.Place(dir, "boot0001", "dhow")
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if left, _ := filepath.Glob(dir + "/*/*"); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func FuzzOpen(f *testing.F) {
	good, err := Pack([]byte("program"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Open(data)
		if err != nil {
			return
		}
		file, err := os.Create(filepath.Join(t.TempDir(), "program"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		_ = p.unpack(file) // it may be refused; it must not panic
	})
}
