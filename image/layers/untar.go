package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Markers of deletions in a layer (OCI image-spec, layer.md, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	metaPrefix     = ".wh..wh." // AUFS' own files, which mean nothing, but for:
	opaqueMarker   = ".wh..wh..opq"
)

// AttributeRecord begins the names of PAX records that are extended attributes.
const AttributeRecord = "SCHILY.xattr."

// untarrer writes one layer's archive into a directory. Every path of the archive is resolved by the kernel
// with the directory as its root (openat2(2), RESOLVE_IN_ROOT), so that no name, link or order of entries leads
// outside.
type untarrer struct {
	root     int
	rootPath string // without links
	// parent is the directory of the last entry: archives name neighbours in a row.
	parentPath string
	parentReal string // its path without links, once somebody asked
	parent     int
	copied     []byte // a buffer
	// times of directories, by their paths without links, are set last, since later entries change them.
	times map[string]time.Time
	// implied are the directories that have no entry of their own so far; "." is the root.
	implied map[string]bool
	// recipe is told which content lies in which file.
	recipe   *recorder
	replaced string // folder for files that later entries replace
	size     uint64
}

// untarInto unpacks an archive into the root of a layer's folder, which is empty and on a file system that can hold
// overlayfs' upper layers.
func untarInto(r *recorder, dir string) (*untarrer, error) {
	root, err := unix.Open(Root(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	u := &untarrer{
		root: root, parent: -1, times: map[string]time.Time{}, implied: map[string]bool{".": true}, recipe: r, replaced: filepath.Join(dir, replacedDir),
	}
	defer u.close()
	if u.rootPath, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", root)); err != nil {
		return nil, err
	}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return u, u.setTimes()
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if err := u.entry(h, archive); err != nil {
			return nil, fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
}

func (u *untarrer) close() {
	u.forgetParent()
	unix.Close(u.root)
}

func (u *untarrer) forgetParent() {
	if u.parent >= 0 {
		unix.Close(u.parent)
	}
	u.parent, u.parentReal = -1, ""
}

// split cleans an archive's name into the directory and the name in it; ok is false for the root itself.
func split(name string) (dir, base string, ok bool) {
	clean := path.Clean("/" + name)
	if clean == "/" {
		return "", "", false
	}
	dir, base = path.Split(clean)
	return strings.Trim(dir, "/"), base, true
}

func (u *untarrer) entry(h *tar.Header, content io.Reader) error {
	dir, base, ok := split(h.Name)
	if !ok {
		if h.Typeflag != tar.TypeDir {
			return nil
		}
		return u.setDirectory(u.root, h, ".", ".")
	}
	if strings.Contains("/"+dir+"/"+base, "/"+metaPrefix) && base != opaqueMarker {
		return nil
	}
	parent, err := u.openParent(dir)
	if err != nil {
		return err
	}
	switch {
	case base == opaqueMarker:
		return setOpaque(parent)
	case strings.HasPrefix(base, whiteoutPrefix):
		return u.whiteout(parent, strings.TrimPrefix(base, whiteoutPrefix))
	}
	hidden, err := u.clear(parent, base, h.Typeflag)
	if err != nil {
		return err
	}
	if err := u.create(parent, dir, base, h, content); err != nil {
		return err
	}
	if hidden && h.Typeflag == tar.TypeDir {
		return hideLower(parent, base)
	}
	return nil
}

// openParent opens a directory inside the root, and makes what of it is missing.
func (u *untarrer) openParent(dir string) (int, error) {
	if u.parent >= 0 && dir == u.parentPath {
		return u.parent, nil
	}
	fd, err := u.openDir(dir)
	if missing(err) {
		fd, err = u.makeDirs(dir)
	}
	if err != nil {
		return -1, err
	}
	u.forgetParent()
	u.parent, u.parentPath = fd, dir
	return fd, nil
}

// missing may be a whiteout too, which is no directory.
func missing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

func (u *untarrer) openDir(dir string) (int, error) {
	if dir == "" {
		dir = "."
	}
	fd, err := unix.Openat2(u.root, dir, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, fmt.Errorf("open directory %q: %w", dir, err)
	}
	return fd, nil
}

func (u *untarrer) makeDirs(dir string) (int, error) {
	made := ""
	for part := range strings.SplitSeq(dir, "/") {
		next := path.Join(made, part)
		fd, err := u.openDir(next)
		if missing(err) {
			fd, err = u.makeDir(made, part, next)
		}
		if err != nil {
			return -1, err
		}
		unix.Close(fd)
		made = next
	}
	return u.openDir(dir)
}

func (u *untarrer) makeDir(parent, base, full string) (int, error) {
	at, err := u.openDir(parent)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	hidden := isWhiteout(at, base)
	if hidden {
		if err := unix.Unlinkat(at, base, 0); err != nil {
			return -1, err
		}
	}
	if err := unix.Mkdirat(at, base, 0o755); err != nil {
		return -1, fmt.Errorf("make directory %q: %w", full, err)
	}
	u.implied[full] = true
	if hidden {
		if err := hideLower(at, base); err != nil {
			return -1, err
		}
	}
	return u.openDir(full)
}

// clear removes what an earlier entry of the same name left, but keeps a directory for a directory. It tells
// whether that was a whiteout.
func (u *untarrer) clear(parent int, base string, kind byte) (whiteout bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		return false, err
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDir && kind == tar.TypeDir {
		return false, nil
	}
	if !isDir {
		whiteout := isWhiteout(parent, base)
		if err := u.setAside(parent, base, st); err != nil {
			return whiteout, err
		}
		return whiteout, ignoreMissing(unix.Unlinkat(parent, base, 0))
	}
	return false, u.clearDir(parent, base)
}

// clearDir removes a directory for an entry that is none.
func (u *untarrer) clearDir(parent int, base string) error {
	top := fmt.Sprintf("/proc/self/fd/%d/%s", parent, base)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		return u.setAside(unix.AT_FDCWD, path, st)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(top)
}

// setAside keeps the content of a file that an entry replaces: the recipe speaks of it.
func (u *untarrer) setAside(parent int, base string, st unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size == 0 {
		return nil
	}
	if err := os.MkdirAll(u.replaced, 0o700); err != nil {
		return err
	}
	return unix.Renameat(parent, base, unix.AT_FDCWD, filepath.Join(u.replaced, strconv.FormatUint(st.Ino, 10)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (u *untarrer) create(parent int, dir, base string, h *tar.Header, content io.Reader) error {
	mode := uint32(h.Mode & 0o7777)
	switch h.Typeflag {
	case tar.TypeDir:
		if err := unix.Mkdirat(parent, base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		real, err := u.pathOf(parent)
		if err != nil {
			return err
		}
		return u.setDirectory(fd, h, path.Join(dir, base), path.Join(real, base))
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.writeFile(parent, path.Join(dir, base), h, content)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, parent, base); err != nil {
			return err
		}
		return u.setOwnerAndTime(parent, base, h)
	case tar.TypeLink:
		return u.hardLink(parent, base, h.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(parent, base, mode, h)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("entry has unknown type %q", h.Typeflag)
	}
}

func (u *untarrer) setDirectory(fd int, h *tar.Header, name, real string) error {
	if err := setMetadata(fd, h); err != nil {
		return err
	}
	u.times[real] = h.ModTime
	delete(u.implied, name)
	return nil
}

func (u *untarrer) hardLink(parent int, base, target string) error {
	dir, name, ok := split(target)
	if !ok {
		return fmt.Errorf("hard link to %q", target)
	}
	at, err := u.openDir(dir)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	defer unix.Close(at)
	if err := unix.Linkat(at, name, parent, base, 0); err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	return nil
}

func (u *untarrer) node(parent int, base string, mode uint32, h *tar.Header) error {
	kinds := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}
	device := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if err := unix.Mknodat(parent, base, kinds[h.Typeflag]|mode, int(device)); err != nil {
		return err
	}
	if err := u.setOwnerAndTime(parent, base, h); err != nil {
		return err
	}
	return unix.Fchmodat(parent, base, mode, 0) // it is no link: it was made just now
}

func (u *untarrer) setOwnerAndTime(parent int, base string, h *tar.Header) error {
	if err := unix.Fchownat(parent, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return setTime(parent, base, h.ModTime)
}

func (u *untarrer) setTimes() error {
	u.forgetParent()
	for name, at := range u.times {
		fd, err := unix.Openat2(u.root, name, &unix.OpenHow{
			Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
		})
		if err != nil {
			continue // replaced by a later entry
		}
		err = setTime(fd, ".", at)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func setTime(dir int, base string, at time.Time) error {
	ts := Timespec(at)
	if ts.Sec < 0 {
		ts = unix.Timespec{}
	}
	return unix.UtimesNanoAt(dir, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// Timespec is a time as system calls want it, however far away.
func Timespec(at time.Time) unix.Timespec {
	return unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
}
