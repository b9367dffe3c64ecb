package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
)

// Archives that other people's programs make.

func TestArchivesAreRecognisedHoweverTheyAreCompressed(t *testing.T) {
	plain := layerstest.Archive(t, layerstest.Regular("BZh9")) // as bzip2 begins
	var packed, framed bytes.Buffer
	z, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	framed.WriteString("\x5f\x2a\x4d\x18\x02\x00\x00\x00hi") // RFC 8878, 3.1.2
	e, err := zstd.NewWriter(&framed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Write(plain)
	if err = errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	for name, archive := range map[string][]byte{"plain": plain, "xz": packed.Bytes(), "zstd after a frame of no data": framed.Bytes()} {
		root, _ := arena(t)
		if err := untar(bytes.NewReader(archive), root); err != nil || layerstest.Exists(root, "BZh9") == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnXZStreamThatWantsMuchMemoryIsRefused(t *testing.T) {
	var packed bytes.Buffer
	z, err := xz.WriterConfig{DictCap: 256 << 20}.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	header := append([]byte{}, packed.Bytes()[:12]...)
	block := []byte{2, 0, 0x21, 1, 32, 0, 0, 0, 0, 0, 0, 0} // one filter, LZMA2 with 256 MiB
	root, _ := arena(t)
	if err := untar(bytes.NewReader(append(header, block...)), root); err == nil || !strings.Contains(err.Error(), "MiB of memory") {
		t.Errorf("got %v", err)
	}
}

// sparse is an archive of a file of one byte after a hole, as GNU tar writes it (PAX format 1.0).
func sparse(t *testing.T, size string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var at string
	for i := len(size) - 1; i >= 0 && at == ""; i-- { // one before the end
		digits := []byte(size)
		digits[i]--
		at = string(digits)
	}
	table := "1\n" + at + "\n1\n"
	content := append([]byte(table), make([]byte, 512-len(table))...)
	content = append(content, 'x')
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX, PAXRecords: map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f", "GNU.sparse.realsize": size,
	}}
	if err := writeRaw(w, &b, h, content); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeRaw goes round the library's refusal to write sparse files: it writes records of the same length, and renames them.
func writeRaw(w *tar.Writer, b *bytes.Buffer, h *tar.Header, content []byte) error {
	records := map[string]string{}
	for key, value := range h.PAXRecords {
		records[strings.Replace(key, "GNU.", "GNV.", 1)] = value
	}
	h.PAXRecords = records
	err := w.WriteHeader(h)
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	renamed := bytes.ReplaceAll(b.Bytes(), []byte("GNV."), []byte("GNU."))
	b.Reset()
	_, err = b.Write(renamed)
	return err
}

func TestTheHolesOfASparseFileTakeNoRoomAndNoFileIsMadeOfThemAlone(t *testing.T) {
	root, _ := arena(t)
	if err := untar(bytes.NewReader(sparse(t, "104857609")), root); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "f"), &st); err != nil || st.Size != 104857609 || st.Blocks > 2048 {
		t.Errorf("%d bytes in %d blocks, %v", st.Size, st.Blocks, err)
	}
	data, err := os.ReadFile(filepath.Join(root, "f"))
	if err != nil || data[len(data)-1] != 'x' || data[len(data)-2] != 0 {
		t.Errorf("the end of the file is %q, %v", data[len(data)-2:], err)
	}
	root, _ = arena(t)
	if err := untar(bytes.NewReader(sparse(t, "109951162777609")), root); err == nil || !strings.Contains(err.Error(), "made to fill disks") {
		t.Errorf("a hole of 100 TiB: %v", err)
	}
}

func TestTheLastEntryOfADirectoryCountsHoweverFarItsTimeIs(t *testing.T) {
	root, _ := arena(t)
	first, last := layerstest.Folder("d"), layerstest.Folder("d/")
	first.ModTime, last.ModTime = time.Unix(1000, 0), time.Unix(2000, 0)
	far := layerstest.Folder("far")
	far.ModTime = time.Unix(1<<36, 0) // more nanoseconds than 63 bits hold
	if err := untar(bytes.NewReader(layerstest.Archive(t, first, last, far)), root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]func(int64) bool{
		"d": func(at int64) bool { return at == 2000 }, "far": func(at int64) bool { return at > time.Now().Unix() },
	} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || !want(info.ModTime().Unix()) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestADirectorysTimeIsNotGivenToWhatALinkInItsPlaceLeadsTo(t *testing.T) {
	root, _ := arena(t)
	old := layerstest.Folder("a")
	old.ModTime = time.Unix(1000, 0)
	target := layerstest.Folder("b")
	target.ModTime = time.Unix(2000, 0)
	link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}
	if err := untar(bytes.NewReader(layerstest.Archive(t, target, old, link)), root); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(root, "b"))
	if err != nil || info.ModTime().Unix() != 2000 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestWhatAUFSLeftInAnArchiveIsNoPartOfTheLayer(t *testing.T) {
	root, _ := arena(t)
	err := untar(bytes.NewReader(layerstest.Archive(t, layerstest.Folder(".wh..wh.plnk"), layerstest.Regular(".wh..wh.plnk/1.2"),
		layerstest.Regular(".wh..wh.aufs"), layerstest.Regular("f"))), root)
	entries, readErr := os.ReadDir(root)
	if err != nil || readErr != nil || len(entries) != 1 {
		t.Errorf("%v, %v, %v", entries, err, readErr)
	}
}
