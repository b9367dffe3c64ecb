package layers

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
)

// merged mounts layers, lowest first, as a container sees them.
func merged(t *testing.T, layers ...[]*tar.Header) string {
	t.Helper()
	base := t.TempDir()
	var lower []string
	for i, headers := range layers {
		dir := filepath.Join(base, string(rune('a'+i)))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := untar(bytes.NewReader(layerstest.Archive(t, headers...)), Root(dir)); err != nil {
			t.Fatal(err)
		}
		lower = append([]string{Root(dir)}, lower...)
	}
	root := filepath.Join(base, "root")
	for _, dir := range []string{root, filepath.Join(base, "empty")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lower = append(lower, filepath.Join(base, "empty")) // overlayfs wants two
	if err := unix.Mount("overlay", root, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lower, ":")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

func TestALayerHidesWhatItDeletesOfLowerOnesAndNothingOfItsOwn(t *testing.T) {
	lower := []*tar.Header{layerstest.Folder("d"), layerstest.Regular("d/old"), layerstest.Regular("gone"), layerstest.Regular("kept")}
	for name, c := range map[string]struct {
		upper []*tar.Header
		want  string
	}{
		"a file":                            {[]*tar.Header{layerstest.Regular(".wh.gone")}, "d d/old kept"},
		"a folder":                          {[]*tar.Header{layerstest.Regular(".wh.d")}, "gone kept"},
		"all in a folder":                   {[]*tar.Header{layerstest.Folder("d"), layerstest.Regular("d/.wh..wh..opq"), layerstest.Regular("d/new")}, "d d/new gone kept"},
		"all in a folder, said last":        {[]*tar.Header{layerstest.Folder("d"), layerstest.Regular("d/new"), layerstest.Regular("d/.wh..wh..opq")}, "d d/new gone kept"},
		"a file that it has anew":           {[]*tar.Header{layerstest.Regular(".wh.gone"), layerstest.Regular("gone")}, "d d/old gone kept"},
		"a file that it has, said last":     {[]*tar.Header{layerstest.Regular("gone"), layerstest.Regular(".wh.gone")}, "d d/old gone kept"},
		"a folder that it has anew":         {[]*tar.Header{layerstest.Regular(".wh.d"), layerstest.Folder("d"), layerstest.Regular("d/new")}, "d d/new gone kept"},
		"a folder that it has, unsaid":      {[]*tar.Header{layerstest.Regular(".wh.d"), layerstest.Regular("d/new")}, "d d/new gone kept"},
		"a folder that it has, said last":   {[]*tar.Header{layerstest.Folder("d"), layerstest.Regular("d/new"), layerstest.Regular(".wh.d")}, "d d/new gone kept"},
		"nothing":                           {[]*tar.Header{layerstest.Folder("d"), layerstest.Regular("d/new")}, "d d/old d/new gone kept"},
		"a folder by a file":                {[]*tar.Header{layerstest.Regular("d")}, "d gone kept"},
		"one that is not there":             {[]*tar.Header{layerstest.Regular(".wh.never")}, "d d/old gone kept"},
		"a file in a folder not mentioned":  {[]*tar.Header{layerstest.Regular("d/.wh.old")}, "d gone kept"},
		"a whiteout of what was whited out": {[]*tar.Header{layerstest.Regular(".wh.gone"), layerstest.Regular(".wh.gone")}, "d d/old kept"},
	} {
		t.Run(name, func(t *testing.T) {
			root := merged(t, lower, c.upper)
			if got := layerstest.Exists(root, "d", "d/old", "d/new", "gone", "kept"); got != c.want {
				t.Errorf("there are %s, want %s", got, c.want)
			}
		})
	}
}

func TestAttributesAndSetuidBitsSurviveEveryOwner(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_bind_service+ep
	suid := &tar.Header{Typeflag: tar.TypeReg, Name: "bin/su", Mode: 0o6755, Uid: 1000, Gid: 50}
	ping := &tar.Header{Typeflag: tar.TypeReg, Name: "bin/ping", Mode: 0o755, Uid: 7, PAXRecords: map[string]string{
		"SCHILY.xattr.security.capability":    capability,
		"SCHILY.xattr.user.note":              "hello",
		"SCHILY.xattr.trusted.overlay.opaque": "y",
		"SCHILY.xattr.security.selinux":       "label of another machine",
	}}
	root := merged(t, []*tar.Header{suid, ping})
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "bin/su"), &st); err != nil || st.Mode&0o7777 != 0o6755 || st.Uid != 1000 || st.Gid != 50 {
		t.Errorf("su: %o of %d:%d, %v", st.Mode, st.Uid, st.Gid, err)
	}
	for attribute, want := range map[string]string{"security.capability": capability, "user.note": "hello", "trusted.overlay.opaque": "", "security.selinux": ""} {
		value := make([]byte, 100)
		n, err := unix.Getxattr(filepath.Join(root, "bin/ping"), attribute, value)
		if got := string(value[:max(n, 0)]); got != want {
			t.Errorf("%s is %q (%v), want %q", attribute, got, err, want)
		}
	}
}

func TestHardLinksShareAFileAlsoAcrossALayersWhiteouts(t *testing.T) {
	root := merged(t,
		[]*tar.Header{layerstest.Regular("one"), layerstest.Regular("a/b/c")},
		[]*tar.Header{layerstest.Regular("two"), {Typeflag: tar.TypeLink, Name: "x/three", Linkname: "/two"}, {Typeflag: tar.TypeLink, Name: "one", Linkname: "two"}, layerstest.Regular(".wh.a")})
	var one, two, three unix.Stat_t
	for name, st := range map[string]*unix.Stat_t{"one": &one, "two": &two, "x/three": &three} {
		if err := unix.Stat(filepath.Join(root, name), st); err != nil {
			t.Fatal(err)
		}
	}
	if one.Ino != two.Ino || two.Ino != three.Ino || two.Nlink != 3 {
		t.Errorf("inodes %d, %d, %d, links %d", one.Ino, two.Ino, three.Ino, two.Nlink)
	}
	if got := layerstest.Exists(root, "a"); got != "" {
		t.Errorf("%s is still there", got)
	}
}

func TestAHardLinkToNothingIsRefusedByName(t *testing.T) {
	root, intact := arena(t)
	err := untar(bytes.NewReader(layerstest.Archive(t, &tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "../../victim"})), root)
	if err == nil || !strings.Contains(err.Error(), `unpack "h": hard link to "../../victim"`) {
		t.Errorf("got %v", err)
	}
	intact()
}
