package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"dhow/image/spec"
)

// Source is one place to pull from or push to: a reference, and how its host is spoken to.
type Source struct {
	Ref       name.Reference
	transport http.RoundTripper
	auth      authn.Authenticator // nil: the keychain decides

	mu     sync.Mutex
	client *http.Client // proves who asks; made at the first blob
}

// Options for calls of the library.
func (s *Source) Options(ctx context.Context) []remote.Option {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(s.transport), remote.WithUserAgent("dhow"),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
	}
	if s.auth != nil {
		return append(options, remote.WithAuth(s.auth))
	}
	return append(options, remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// Get is the manifest or index of the reference.
func (s *Source) Get(ctx context.Context) (*remote.Descriptor, error) {
	return checked(remote.Get(s.Ref, s.Options(ctx)...))
}

// GetDigest is a manifest or index of the same repository.
func (s *Source) GetDigest(ctx context.Context, digest v1.Hash) (*remote.Descriptor, error) {
	return checked(remote.Get(s.Ref.Context().Digest(digest.String()), s.Options(ctx)...))
}

func checked(found *remote.Descriptor, err error) (*remote.Descriptor, error) {
	if err != nil {
		return nil, err
	}
	if err := spec.CheckDocument(found.Manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", found.Digest, err)
	}
	return found, nil
}

// authenticated is a client that proves who asks for reading.
func (s *Source) authenticated(ctx context.Context) (*http.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	repository := s.Ref.Context()
	auth := s.auth
	if auth == nil {
		var err error
		if auth, err = authn.Resolve(ctx, authn.DefaultKeychain, repository); err != nil {
			return nil, err
		}
	}
	t, err := transport.NewWithContext(ctx, repository.Registry, auth, s.transport, []string{repository.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	s.client = &http.Client{Transport: t}
	return s.client, nil
}

// Blob reads a blob from some byte on; what a foreign layer's registry has not, its addresses may have. It does not
// verify anything.
func (s *Source) Blob(ctx context.Context, d v1.Descriptor, from int64) (io.ReadCloser, error) {
	client, err := s.authenticated(ctx)
	if err != nil {
		return nil, err
	}
	repository := s.Ref.Context()
	own := url.URL{
		Scheme: repository.Scheme(), Host: repository.RegistryStr(),
		Path: fmt.Sprintf("/v2/%s/blobs/%s", repository.RepositoryStr(), d.Digest),
	}
	body, err := fetch(ctx, client, own.String(), from, d.Size)
	if err == nil || d.MediaType.IsDistributable() && len(d.URLs) == 0 {
		return body, err
	}
	for _, address := range d.URLs {
		u, parseErr := url.Parse(address)
		if parseErr != nil || u.Scheme != "https" && u.Scheme != "http" {
			continue
		}
		var foreign error
		if body, foreign = fetch(ctx, &http.Client{Transport: s.transport}, address, from, d.Size); foreign == nil {
			return body, nil
		}
		err = errors.Join(err, foreign)
	}
	return nil, err
}

// fetch reads what lies at an address from some byte on.
func fetch(ctx context.Context, client *http.Client, address string, from, size int64) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(context.WithValue(ctx, blobKey{}, true), http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, size-1))
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if from > 0 && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		resp.Body.Close()
		body, err := fetch(ctx, client, address, 0, size)
		if err != nil {
			return nil, err
		}
		return body, skip(body, from)
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if from > 0 && resp.StatusCode == http.StatusOK { // it knows no ranges
		return resp.Body, skip(resp.Body, from)
	}
	return resp.Body, nil
}

// skip reads what is not wanted; it closes what breaks off.
func skip(body io.ReadCloser, bytes int64) error {
	if _, err := io.CopyN(io.Discard, body, bytes); err != nil {
		return errors.Join(err, body.Close())
	}
	return nil
}

// blobKey marks the context of a request for a blob, wherever that lies: at a registry, where it redirects to, or at a foreign
// layer's own address. Blobs may be of any size, and are gone on with when the connection breaks.
type blobKey struct{}

func ofBlob(r *http.Request) bool { return r.Context().Value(blobKey{}) != nil }

// configMost bounds an image's configuration.
const configMost = 4 << 20

// Config reads an image's configuration and verifies it.
func (s *Source) Config(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size > configMost || d.Size < 0 {
		return nil, fmt.Errorf("config %s: its manifest says it has %d bytes, more than %d MiB", d.Digest, d.Size, configMost>>20)
	}
	body, err := s.Blob(ctx, d, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, d.Size+1))
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); int64(len(data)) != d.Size || got != d.Digest.Hex {
		return nil, fmt.Errorf("config %s: the registry sent %d bytes with digest sha256:%s", d.Digest, len(data), got)
	}
	if err := spec.CheckDocument(data); err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	return data, nil
}

// Close frees its connections.
func (s *Source) Close() {
	t := s.transport
	if b, ok := t.(based); ok {
		t = b.next
	}
	if r, ok := t.(*resuming); ok {
		r.closeIdle()
	}
}
