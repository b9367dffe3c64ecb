package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"dhow/image/registry"
)

// IsURL tells what is fetched by HTTP.
func IsURL(word string) bool {
	return strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://")
}

// Get asks for what is at a URL; the caller closes it.
func Get(ctx context.Context, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: registry.Patient(http.DefaultTransport)}).Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: invalid response status %d", address, response.StatusCode)
	}
	return response, nil
}

// Download is a file that was fetched.
type Download struct {
	// Name is what the server or the URL calls it; it may be empty.
	Name     string
	Digest   string // SHA-256, in hexadecimal
	Modified time.Time
}

// Fetch puts what is at a URL into a new file.
func Fetch(ctx context.Context, address, file string) (Download, error) {
	response, err := Get(ctx, address)
	if err != nil {
		return Download{}, err
	}
	defer response.Body.Close()
	d := Download{Name: fileName(response)}
	if at, err := http.ParseTime(response.Header.Get("Last-Modified")); err == nil {
		d.Modified = at
	}
	if d.Digest, err = save(response.Body, file); err != nil {
		return d, fmt.Errorf("%s: %w", address, err)
	}
	return d, nil
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
