package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func opened(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := New(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASecondServerOnTheSameDataIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	first := opened(t, dir)
	_, err := New(Config{Dir: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second server: %v", err)
	}
	if _, err := first.client.Put(t.Context(), "/after", "x"); err != nil {
		t.Errorf("the first server no longer writes: %v", err)
	}
}

func TestTheDirectoryIsFreeOnceItsServerHasClosed(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

// contents are the files of a tree, with what they hold.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files[path] = info.Mode().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			files[path] += " " + string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestDataOfAnotherVersionIsRefusedAndLeftAsItIs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"version": "2\n", "tomorrow.db": "in a way this dhow does not know"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, dir)
	_, err := New(Config{Dir: dir})
	if err == nil {
		t.Fatal("data of version 2 was opened")
	}
	for _, want := range []string{dir, "version 2", "version 1", "dhow reset"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if after := contents(t, dir); !maps.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
}

func TestAVersionThatACrashLeftEmptyIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "version")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	opened(t, dir)
	if data, err := os.ReadFile(path); err != nil || string(data) != dataVersion+"\n" {
		t.Errorf("version is %q, %v", data, err)
	}
}

func TestADirectoryThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: filepath.Join(file, "etcd")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}
}
