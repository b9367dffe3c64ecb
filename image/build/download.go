package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"dhow/image/build/rooted"
)

// fetched is a file that ADD has downloaded.
type fetched struct {
	file     string
	modified time.Time
}

func isURL(word string) bool {
	return strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://") || isGit(word)
}

func isGit(word string) bool {
	u, err := url.Parse(word)
	return strings.HasPrefix(word, "git@") || strings.HasPrefix(word, "git://") || err == nil && strings.HasSuffix(u.Path, ".git") && u.Scheme != ""
}

// download fetches what ADD names by a URL. Its content goes into the key, so it is fetched by every build.
func (w *work) download(ctx context.Context, address string, c copyStep) (*piece, error) {
	if isGit(address) {
		return nil, fmt.Errorf("ADD %s: git repositories are not supported: clone it into the build context", address)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ADD: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ADD: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ADD %s: invalid response status %d", address, response.StatusCode)
	}
	dir, err := w.session.folder("download")
	if err != nil {
		return nil, err
	}
	p := &piece{url: address, fetched: fetched{file: filepath.Join(dir, "file")}, target: fileName(response)}
	if p.target == "" {
		if strings.HasSuffix(c.DestPath, "/") {
			return nil, fmt.Errorf("ADD %s: it has no file name: give one in the destination", address)
		}
		p.target = "index"
	}
	if p.digest, err = save(response.Body, p.file); err != nil {
		return nil, fmt.Errorf("ADD %s: %w", address, err)
	}
	if c.checksum != "" && c.checksum != "sha256:"+p.digest {
		return nil, fmt.Errorf("ADD %s: digest mismatch sha256:%s: %s", address, p.digest, c.checksum)
	}
	if at, err := http.ParseTime(response.Header.Get("Last-Modified")); err == nil {
		p.modified = at
	}
	p.archive = c.unpack != nil && *c.unpack
	return p, nil
}

func save(from io.Reader, name string) (digest string, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), from)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, f.Close())
}

func fileName(r *http.Response) string {
	if _, params, err := mime.ParseMediaType(r.Header.Get("Content-Disposition")); err == nil {
		if name := path.Base(path.Clean("/" + params["filename"])); name != "/" {
			return name
		}
	}
	if name := path.Base(path.Clean("/" + r.Request.URL.Path)); name != "/" {
		return name
	}
	return ""
}

// isArchive tells whether ADD unpacks a file: by its content, not its name.
func isArchive(t *rooted.Tree, name string) (bool, error) {
	f, err := t.OpenFile(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, err
	}
	head = head[:n]
	for _, magic := range []string{"\x1f\x8b", "BZh", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return rooted.HoldsTar(f)
		}
	}
	return len(head) == 512 && bytes.Equal(head[257:262], []byte("ustar")), nil
}
