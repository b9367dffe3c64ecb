package build

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// files are what a build makes, by name.
func (r *rig) files(text string) map[string]*tar.Header {
	r.t.Helper()
	var out bytes.Buffer
	_, err := r.try(text, Options{Outputs: []Output{{Type: "tar", To: &out}}})
	r.check(err)
	all := map[string]*tar.Header{}
	for archive := tar.NewReader(&out); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		r.check(err)
		all[h.Name] = h
	}
}

func TestCopiesOfAStageBelongToWhomTheirSourcesBelongAndThoseOfTheContextToRoot(t *testing.T) {
	r := newRig(t)
	r.file("own", "x\n")
	r.check(os.Chown(filepath.Join(r.context, "own"), 12, 13))
	got := r.files("FROM base AS one\nCOPY --chown=7:8 own /d/e/f\nFROM scratch\nCOPY --from=one /d /kept\nCOPY --from=one --chown=9 /d /given\n" +
		"COPY --link --from=one /d/e/f /linked\nCOPY own /context\n")
	for name, want := range map[string][2]int{
		"kept/": {0, 0}, "kept/e/": {7, 8}, "kept/e/f": {7, 8}, "given/": {9, 9}, "given/e/f": {9, 9}, "linked": {7, 8}, "context": {0, 0},
	} {
		if h := got[name]; h == nil || h.Uid != want[0] || h.Gid != want[1] {
			t.Errorf("%s: %+v, want %v", name, h, want)
		}
	}
}

func TestADirectoryIsCopiedOntoOneThatIsThereAndIsNotCopiedItself(t *testing.T) {
	r := newRig(t)
	r.file("src/there/f", "x\n")
	r.check(os.Chmod(filepath.Join(r.context, "src"), 0o700))
	r.check(os.Chmod(filepath.Join(r.context, "src/there"), 0o711))
	got := r.files("FROM scratch\nCOPY --chmod=777 src /there/\nCOPY src /new\nCOPY --chown=5 src /\nCOPY --parents src/there/f /parents/\n")
	for name, want := range map[string]int64{"new/": 0o755, "there/": 0o711, "parents/": 0o755, "parents/src/": 0o700, "parents/src/there/": 0o711} {
		if h := got[name]; h == nil || h.Mode != want {
			t.Errorf("%s: %+v, want mode %o", name, h, want)
		}
	}
	if h := got["there/"]; h == nil || h.Uid != 5 {
		t.Errorf("the directory that was there: %+v, want the owner of the copy", h)
	}
}

func TestHardLinksAreCopiedAsSuch(t *testing.T) {
	r := newRig(t)
	r.file("d/a", "x\n")
	r.check(os.Mkdir(filepath.Join(r.context, "d/sub"), 0o755))
	r.check(os.Link(filepath.Join(r.context, "d/a"), filepath.Join(r.context, "d/sub/b")))
	got := r.files("FROM scratch AS one\nCOPY d /x\nFROM scratch\nCOPY --from=one /x /y\n")
	if h := got["y/sub/b"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "y/a" {
		t.Errorf("got %+v, want a hard link", h)
	}
}

func TestWhatAddUnpacksKeepsItsOwnersAndAttributes(t *testing.T) {
	r := newRig(t)
	attribute := map[string]string{"SCHILY.xattr.user.a": "b"}
	headers := []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o750, Uid: 3, Gid: 4, PAXRecords: attribute, Format: tar.FormatPAX},
		{Typeflag: tar.TypeReg, Name: "d/f", Mode: 0o640, Uid: 42, Gid: 43, PAXRecords: attribute, Format: tar.FormatPAX},
	}
	r.file("a.tgz", archiveOf(t, headers...))
	got := r.files("FROM scratch\nADD a.tgz /x/\nADD --chown=6:7 a.tgz /y/\n")
	for name, want := range map[string][2]int{"x/d/": {3, 4}, "x/d/f": {42, 43}, "y/d/f": {6, 7}} {
		if h := got[name]; h == nil || h.Uid != want[0] || h.Gid != want[1] {
			t.Errorf("%s: %+v, want owner %v", name, h, want)
		}
		if h := got[name]; h == nil || h.PAXRecords["SCHILY.xattr.user.a"] != "b" {
			t.Errorf("%s: %+v, want its attribute", name, h)
		}
	}
}

func TestAddUnpacksEveryKindOfArchiveByItsContent(t *testing.T) {
	r := newRig(t)
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	r.check(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "BZh9", Mode: 0o600, Size: 1})) // as bzip2 begins
	_, err := w.Write([]byte("x"))
	r.check(errors.Join(err, w.Close()))
	z, err := xz.NewWriter(&packed)
	r.check(err)
	_, err = z.Write(plain.Bytes())
	r.check(errors.Join(err, z.Close()))
	r.file("plain", plain.String())
	r.file("packed", packed.String())
	r.file("text", "BZh9 is how bzip2 begins\n")
	got := r.files("FROM scratch\nADD plain /plain/\nADD packed /packed/\nADD text /text/\n")
	for _, name := range []string{"plain/BZh9", "packed/BZh9", "text/text"} {
		if got[name] == nil {
			t.Errorf("no %s in %v", name, got)
		}
	}
}

func TestTextsThatAreNotUTF8AreNotTakenForOneAnother(t *testing.T) {
	r := newRig(t)
	made := map[string]bool{}
	for _, b := range []string{"\xe8", "\xe9"} {
		made[r.build("FROM scratch\nCOPY <<'EOF' /x\n"+b+"\nEOF\n", Options{}).Layers[0].DiffID] = true
	}
	if len(made) != 2 {
		t.Errorf("two texts made layers %v", made)
	}
}

func TestABuildContextOfAnOtherUserIsRoots(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	r.check(os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644))
	r.check(unix.Chown(filepath.Join(dir, "f"), 11, 12))
	var out bytes.Buffer
	_, err := r.try("FROM other\n", Options{Contexts: map[string]string{"other": dir}, Outputs: []Output{{Type: "tar", To: &out}}})
	r.check(err)
	h, err := tar.NewReader(&out).Next()
	if err != nil || h.Name != "f" || h.Uid != 0 || h.Gid != 0 {
		t.Errorf("got %+v, %v", h, err)
	}
}

func TestADirectoryThatWORKDIRMakesBelongsToUSER(t *testing.T) {
	r := newRig(t)
	got := r.files("FROM base\nWORKDIR /root\nUSER worker\nWORKDIR /work/dir\nUSER 5:6\nWORKDIR below\n")
	for name, want := range map[string][2]int{"root/": {0, 0}, "work/": {1000, 1001}, "work/dir/": {1000, 1001}, "work/dir/below/": {5, 6}} {
		if h := got[name]; h == nil || h.Uid != want[0] || h.Gid != want[1] {
			t.Errorf("%s: %+v, want %v", name, h, want)
		}
	}
}

func TestAnArgumentIsTheNearestThatWasDeclared(t *testing.T) {
	r := newRig(t)
	r.build("ARG A=global\nFROM base AS x\nRUN test \"$A\" = ''\nARG A\nRUN test $A = global\nARG A=local\nRUN test $A = local\n"+
		"FROM x\nRUN test $A = local\nARG A\nRUN test $A = global\n", Options{})
}

func TestACopyThatCannotBeSaysWhatIsInItsWay(t *testing.T) {
	r := newRig(t)
	r.file("d/f", "x\n")
	for text, says := range map[string]string{
		"COPY d /bin/busybox": "cannot copy to non-directory: /bin/busybox", "COPY ../../none /": `"/none": not found`,
	} {
		if _, err := r.try("FROM base\n"+text+"\n", Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
}
