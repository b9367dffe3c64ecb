package perboot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func file(dir, version, text string) File {
	return File{
		Dir: dir, Version: version, Name: "name", Mode: 0o755, Size: int64(len(text)),
		Write: func(f *os.File) error {
			_, err := f.WriteString(text)
			return err
		},
	}
}

func made(t *testing.T, f File, boot, want string) string {
	t.Helper()
	path, err := f.path(boot)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != want {
		t.Fatalf("%q, %v, want %q", data, err, want)
	}
	return path
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestAFileIsMadeOnceABoot(t *testing.T) {
	f := file(t.TempDir(), "1", "text")
	first := stat(t, made(t, f, "boot1", "text"))
	if first.Mode() != 0o755 {
		t.Errorf("mode %v", first.Mode())
	}
	if !os.SameFile(first, stat(t, made(t, f, "boot1", "text"))) {
		t.Error("it was made a second time")
	}
	if os.SameFile(first, stat(t, made(t, f, "boot2", "text"))) {
		t.Error("what an earlier boot has left is used")
	}
	if entries, err := os.ReadDir(f.Dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: what an earlier boot has left is still there", entries, err)
	}
}

func TestVersionsOfOneBootLiveSideBySide(t *testing.T) {
	dir := t.TempDir()
	one := made(t, file(dir, "1", "one"), "boot1", "one")
	made(t, file(dir, "2", "another"), "boot1", "another")
	stat(t, one)
}

func TestAFileOfAnotherSizeIsMadeAgain(t *testing.T) {
	f := file(t.TempDir(), "1", "whole")
	path := made(t, f, "boot1", "whole")
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
	made(t, f, "boot1", "whole")
}

func TestAFailureLeavesNothing(t *testing.T) {
	wrong := errors.New("wrong")
	f := file(t.TempDir(), "1", "text")
	f.Write = func(*os.File) error { return wrong }
	if _, err := f.path("boot1"); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	f.Write = func(f *os.File) error { return nil }
	if _, err := f.path("boot1"); err == nil {
		t.Error("a file that is too short was accepted")
	}
	if left, err := filepath.Glob(f.Dir + "/*/*"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestADirectoryThatCannotBeMadeIsTold(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var failed *fs.PathError
	if _, err := file(inTheWay, "1", "text").Path(); !errors.As(err, &failed) {
		t.Errorf("%v", err)
	}
}
