package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const brief = time.Second

// silent serves content under /blobs/x, but hangs after so many bytes the first times that it is asked, and never
// answers anything else.
func silent(t *testing.T, content []byte, hangs int32) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hang := func() {
			select {
			case <-r.Context().Done():
			case <-over:
			}
		}
		if !strings.Contains(r.URL.Path, "/blobs/") {
			hang()
			return
		}
		if asked.Add(1) > hangs {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(content[:100])
		_ = http.NewResponseController(w).Flush()
		hang()
	}))
	t.Cleanup(func() { close(over); server.Close() })
	return server.URL, asked
}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(context.WithValue(ctx, blobKey{}, true), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&resuming{patient{http.DefaultTransport, brief}}).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	return data, errors.Join(err, resp.Body.Close())
}

func TestARegistryThatNeverAnswersIsGivenUp(t *testing.T) {
	url, _ := silent(t, nil, 0)
	if _, err := get(t.Context(), url+"/v2/"); err == nil || !strings.Contains(err.Error(), "is silent for "+brief.String()) {
		t.Errorf("got %v", err)
	}
}

func TestADownloadThatFallsSilentGoesOn(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
	url, asked := silent(t, content, 1)
	data, err := get(t.Context(), url+"/blobs/x")
	if err != nil || !bytes.Equal(data, content) || asked.Load() < 2 {
		t.Errorf("got %d bytes by %d requests, %v", len(data), asked.Load(), err)
	}
}

func TestADownloadThatIsCalledOffSaysSo(t *testing.T) {
	url, _ := silent(t, make([]byte, 1000), 100)
	ctx, cancel := context.WithTimeout(t.Context(), brief/4)
	defer cancel()
	if _, err := get(ctx, url+"/blobs/x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
