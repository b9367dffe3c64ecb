package openapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// document is kept as it is sent: packed.
type document struct {
	hash   string
	packed []byte
}

// request asks for a document by its name; hash is that of what it is to be made of.
type request struct {
	name, format, hash string
	make               func() ([]byte, error)
	// passing: not to be kept. Custom resources come and go.
	passing bool
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request, q request) error {
	d, err := s.get(q)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", q.format)
	h.Set("Etag", strconv.Quote(d.hash))
	h.Set("Vary", "Accept, Accept-Encoding")
	body := d.packed
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
	} else if body, err = unzip(body); err != nil {
		return err
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// get returns a document, made anew if what it describes has changed.
func (s *Service) get(q request) (document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.getLocked(q)
}

func (s *Service) getLocked(q request) (document, error) {
	if d := s.documents[q.name]; d.hash == q.hash {
		return d, nil
	}
	text, err := q.make()
	if err != nil {
		return document{}, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		return document{}, err
	}
	if err := z.Close(); err != nil {
		return document{}, err
	}
	d := document{hash: q.hash, packed: bytes.Clone(packed.Bytes())}
	if !q.passing {
		s.documents[q.name] = d
	}
	go debug.FreeOSMemory() // it was built of tens of megabytes, which nobody needs for long
	return d, nil
}

func unzip(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
