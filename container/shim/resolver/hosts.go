package resolver

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// biggestFile is how much of a hosts file counts: whoever is in the container may write to it.
	biggestFile = 256 << 10
	// most addresses of one name, and names of one address.
	most = 256
	// young is for how long a file may change again without a new time of change.
	young = 100 * time.Millisecond
)

// hosts is a file as hosts(5) describes it, which others write at any time.
type hosts struct {
	mu      sync.Mutex
	path    string
	text    []byte // never changed, only replaced
	size    int64
	changed time.Time
	settled bool // nothing can have changed that does not show in size and changed
}

func (h *hosts) use(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.path != path {
		h.path, h.text, h.settled = path, nil, false
	}
}

// now is what the file says. One that cannot be read, or is just being written, says what it said before.
func (h *hosts) now() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	info, err := os.Lstat(h.path)
	if err != nil || !info.Mode().IsRegular() {
		return h.text
	}
	if h.settled && info.Size() == h.size && info.ModTime().Equal(h.changed) {
		return h.text
	}
	h.settled = false
	text, err := readStart(h.path, info.Size())
	if err != nil || len(text) == 0 {
		return h.text
	}
	h.text, h.size, h.changed = text, info.Size(), info.ModTime()
	h.settled = time.Since(h.changed) > young
	return h.text
}

// readStart reads the whole lines of a file, as many as count. A file whose last line has no end is being written, and has
// none yet.
func readStart(path string, size int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, min(max(size, 0), biggestFile))
	n, err := io.ReadFull(f, text)
	if err != nil {
		return nil, err
	}
	if size > biggestFile {
		n = bytes.LastIndexByte(text, '\n') + 1
	}
	if n == 0 || text[n-1] != '\n' {
		return nil, nil
	}
	return text[:n], nil
}

// addresses of a name, of 4 and of 16 bytes.
func (h *hosts) addresses(name string) (four, six [][]byte) {
	want := []byte(name)
	for line := range bytes.Lines(h.now()) {
		first, names := cutLine(line)
		if !named(names, want) {
			continue
		}
		switch address := parseAddress(string(first)); len(address) {
		case 4:
			four = add(four, address)
		case 16:
			six = add(six, address)
		}
	}
	return four, six
}

func named(names, want []byte) bool {
	for name := range bytes.FieldsSeq(names) {
		if bytes.EqualFold(name, want) {
			return true
		}
	}
	return false
}

// names of an address: the first of each of its lines.
func (h *hosts) names(address []byte) (found [][]byte) {
	for line := range bytes.Lines(h.now()) {
		first, names := cutLine(line)
		if !bytes.Equal(parseAddress(string(first)), address) {
			continue
		}
		for name := range bytes.FieldsSeq(names) {
			found = add(found, name)
			break
		}
	}
	return found
}

// cutLine is the address and the names of a line.
func cutLine(line []byte) (address, names []byte) {
	line, _, _ = bytes.Cut(line, []byte("#"))
	for address = range bytes.FieldsSeq(line) {
		_, names, _ = bytes.Cut(line, address)
		return address, names
	}
	return nil, nil
}

// add appends what is not there yet, until there is enough.
func add(all [][]byte, one []byte) [][]byte {
	if len(all) >= most || slices.ContainsFunc(all, func(o []byte) bool { return bytes.Equal(o, one) }) {
		return all
	}
	return append(all, one)
}

// single says whether a name has one label only: no other server can know it.
func single(name string) bool { return strings.IndexByte(name, '.') < 0 }
