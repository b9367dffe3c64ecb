package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// resumes is how often the download of one blob may be cut off and go on.
const resumes = 5

// resuming is a transport whose downloads of blobs go on where a broken connection left them (RFC 9110, Range).
type resuming struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *resuming) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || resp.ContentLength <= 0 || !ofBlob(r) {
		return resp, err
	}
	var from int64
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
			return resp, nil
		}
	default:
		return resp, nil
	}
	resp.Body = &resumingBody{t: t, request: r, body: resp.Body, at: from, length: from + resp.ContentLength}
	return resp, nil
}

// closeIdle closes the connections of the transport at the bottom.
func (t *resuming) closeIdle() {
	if b, ok := t.next.(bounded); ok {
		if p, ok := b.next.(patient); ok {
			(&http.Client{Transport: p.next}).CloseIdleConnections()
		}
	}
}

type resumingBody struct {
	t       *resuming
	request *http.Request
	body    io.ReadCloser
	at      int64 // where in the blob
	length  int64
	cuts    int
}

func (b *resumingBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.at += int64(n)
	if err == nil || b.at >= b.length || b.request.Context().Err() != nil {
		return n, err
	}
	if again := b.reopen(); again != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, fmt.Errorf("%w (and going on at byte %d: %w)", err, b.at, again)
	}
	return n, nil
}

// reopen asks for the rest.
func (b *resumingBody) reopen() error {
	if b.cuts++; b.cuts > resumes {
		return fmt.Errorf("cut off %d times", b.cuts)
	}
	r := b.request.Clone(b.request.Context())
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.at, b.length-1))
	resp, err := b.t.next.RoundTrip(r)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK: // it knows no ranges, and begins anew
		if _, err := io.CopyN(io.Discard, resp.Body, b.at); err != nil {
			resp.Body.Close()
			return err
		}
	default:
		resp.Body.Close()
		return fmt.Errorf("registry answers %s to a range", resp.Status)
	}
	b.body.Close()
	b.body = resp.Body
	return nil
}

func (b *resumingBody) Close() error { return b.body.Close() }
