package program

import (
	"os"
	"path/filepath"
	"testing"

	"dhow/container/shimbinary"
)

// TestWhatIsBuiltInIsOneFile: two engines of one state directory execute the same file, so that their shims share memory.
func TestWhatIsBuiltInIsOneFile(t *testing.T) {
	if !shimbinary.BuiltIn() {
		if _, err := openBuiltIn(t.TempDir()); err == nil {
			t.Error("a program that was not built in is there")
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "state")
	stat := func() os.FileInfo {
		f, err := openBuiltIn(dir)
		check(t, err)
		defer f.Close()
		info, err := f.Stat()
		check(t, err)
		return info
	}
	if one, other := stat(), stat(); !os.SameFile(one, other) {
		t.Error("each opens a file of its own")
	}
}
