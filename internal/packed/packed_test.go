package packed

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	out, err := Pack(data, Library)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// unpack returns what a packed program becomes.
func unpack(t *testing.T, p *Program) ([]byte, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := p.Unpack(f); err != nil {
		return nil, err
	}
	return os.ReadFile(f.Name())
}

func TestAProgramComesOutAsItWasPacked(t *testing.T) {
	want := program(t)
	p := packedProgram(t, want)
	if p.Size() != int64(len(want)) {
		t.Errorf("size %d", p.Size())
	}
	if got, err := unpack(t, p); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

// TestAProgramOfGoComesOutAsItWasPacked: code and tables in it are changed on their way.
func TestAProgramOfGoComesOutAsItWasPacked(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	p := packedProgram(t, want)
	if none := (span{}); runtime.GOARCH == "amd64" && (p.Code == none || p.Table == none) {
		t.Errorf("code %v, table %v", p.Code, p.Table)
	}
	if got, err := unpack(t, p); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestAProgramInMemoryRuns(t *testing.T) {
	want, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	f, err := packedProgram(t, want).InMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if out, err := (&exec.Cmd{Path: fmt.Sprintf("/proc/self/fd/%d", f.Fd())}).CombinedOutput(); err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

func TestVersionsDifferAsProgramsDo(t *testing.T) {
	one, same, other := packedProgram(t, []byte("one")), packedProgram(t, []byte("one")), packedProgram(t, []byte("other"))
	if one.Version() != same.Version() || one.Version() == other.Version() {
		t.Errorf("%s, %s, %s", one.Version(), same.Version(), other.Version())
	}
}

func TestADamagedPackIsRefused(t *testing.T) {
	good, err := Pack(program(t), Library)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(good)
	changed[len(changed)/2] ^= 1
	for name, data := range map[string][]byte{
		"nothing": nil, "a head only": good[:20], "lengths cut off": good[:40], "cut off": good[:len(good)-1], "changed": changed, "other": make([]byte, 100),
	} {
		p, err := Open(data)
		if err == nil {
			_, err = unpack(t, p)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	good, err := Pack([]byte("program"), Library)
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
		_ = p.Unpack(file) // it may be refused; it must not panic
	})
}
