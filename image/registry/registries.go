// Package registry speaks to image registries: where to go for a reference (registries.yaml), how to prove who
// asks, and how to fetch from registries that are slow, break off or lie. It stores nothing.
package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"

	"dhow/image/names"
)

// File is registries.yaml in k3s' format: where to go instead of a registry, and how to prove who asks.
type File struct {
	Mirrors map[string]Mirror `json:"mirrors"`
	Configs map[string]Host   `json:"configs"`
}

// Mirror is where to go instead of a registry, "*" for all. A rewrite maps a regular expression of the repository's
// name to what replaces it.
type Mirror struct {
	Endpoints []string          `json:"endpoint"`
	Rewrites  map[string]string `json:"rewrite"`
}

// Host is how to speak to one registry or mirror.
type Host struct {
	Auth *Auth `json:"auth"`
	TLS  *TLS  `json:"tls"`
}

// Auth proves who asks.
type Auth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"` // base64 of user:password
	IdentityToken string `json:"identity_token"`
}

// TLS is whom to trust and how to prove who asks.
type TLS struct {
	CAFile             string `json:"ca_file"`
	CertFile           string `json:"cert_file"`
	KeyFile            string `json:"key_file"`
	InsecureSkipVerify bool   `json:"insecure_skip_verify"`
}

// Read reads the file; one that is not there is empty. It is read for each pull, so that a change needs no restart.
func Read(path string) (*File, error) {
	f := &File{}
	if path == "" {
		return f, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registries: %w", err)
	}
	f, err = Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse reads the file's text and says what is wrong with it.
func Parse(data []byte) (*File, error) {
	f := &File{}
	if err := yaml.UnmarshalStrict(data, f); err != nil {
		return nil, err
	}
	for host, m := range f.Mirrors {
		for _, e := range m.Endpoints {
			if _, err := endpoint(e); err != nil {
				return nil, fmt.Errorf("mirrors: %s: %w", host, err)
			}
		}
		for pattern := range m.Rewrites {
			if _, err := regexp.Compile(pattern); err != nil {
				return nil, fmt.Errorf("mirrors: %s: rewrite %q: %w", host, pattern, err)
			}
		}
	}
	return f, nil
}

// endpoint reads a mirror's address; without a scheme it is HTTPS.
func endpoint(text string) (*url.URL, error) {
	full := text
	if !strings.Contains(full, "://") {
		full = "https://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("endpoint %q is not a URL such as https://mirror:5000", text)
	}
	return u, nil
}

// Sources are the mirrors of a reference's registry in the file's order, then the registry itself. auth, if not nil,
// is for the registry itself.
func (f *File) Sources(ref name.Reference, auth *cri.AuthConfig) ([]*Source, error) {
	host := names.Host(ref.Context())
	m, found := f.Mirrors[host]
	if !found {
		m = f.Mirrors["*"]
	}
	var all []*Source
	for _, e := range m.Endpoints {
		s, err := f.mirrored(ref, m, e)
		if err != nil {
			return nil, fmt.Errorf("mirror of %s: %w", host, err)
		}
		if s.Ref.Name() == ref.Name() { // the registry itself, by another scheme
			s.auth = orAuth(auth, s.auth)
		}
		all = append(all, s)
	}
	own, err := f.Own(ref, auth)
	if err != nil {
		return nil, err
	}
	same := func(s *Source) bool {
		return s.Ref.Name() == own.Ref.Name() && s.Ref.Context().Scheme() == own.Ref.Context().Scheme()
	}
	if slices.ContainsFunc(all, same) {
		return all, nil
	}
	return append(all, own), nil
}

// Own is the registry of a reference itself, the only place to push to. An endpoint of its own host says how it is
// spoken to.
func (f *File) Own(ref name.Reference, auth *cri.AuthConfig) (*Source, error) {
	host := names.Host(ref.Context())
	for _, e := range f.Mirrors[host].Endpoints {
		if u, err := endpoint(e); err == nil && u.Host == host && u.Scheme == "http" {
			insecure, err := name.ParseReference(ref.Name(), name.Insecure)
			if err != nil {
				return nil, err
			}
			ref = insecure
		}
	}
	t, err := f.transport(host)
	if err != nil {
		return nil, err
	}
	return &Source{Ref: ref, transport: t, auth: orAuth(auth, f.auth(host))}, nil
}

func orAuth(auth *cri.AuthConfig, other authn.Authenticator) authn.Authenticator {
	if auth == nil {
		return other
	}
	return criAuth(auth)
}

func (f *File) mirrored(ref name.Reference, m Mirror, text string) (*Source, error) {
	u, err := endpoint(text)
	if err != nil {
		return nil, err
	}
	repo, err := m.rewrite(ref.Context().RepositoryStr())
	if err != nil {
		return nil, err
	}
	var options []name.Option
	if u.Scheme == "http" {
		options = append(options, name.Insecure)
	}
	host, err := name.NewRegistry(u.Host, options...)
	if err != nil {
		return nil, err
	}
	mirrored := name.Reference(host.Repo(repo).Tag(ref.Identifier()))
	if _, ok := ref.(name.Digest); ok {
		mirrored = host.Repo(repo).Digest(ref.Identifier())
	}
	t, err := f.transport(u.Host)
	if base := strings.TrimRight(u.Path, "/"); base != "" && base != "/v2" {
		t = based{t, u.Host, base}
	}
	return &Source{Ref: mirrored, transport: t, auth: f.auth(u.Host)}, err
}

// rewrite applies the first pattern that matches, in the order of patterns.
func (m Mirror) rewrite(repo string) (string, error) {
	var patterns []string
	for pattern := range m.Rewrites {
		patterns = append(patterns, pattern)
	}
	slices.Sort(patterns)
	for _, pattern := range patterns {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return "", fmt.Errorf("rewrite %q: %w", pattern, err)
		}
		if re.MatchString(repo) {
			return re.ReplaceAllString(repo, m.Rewrites[pattern]), nil
		}
	}
	return repo, nil
}

// host is the configuration of a host: its own, or that of all.
func (f *File) host(host string) Host {
	if c, ok := f.Configs[host]; ok {
		return c
	}
	if host == names.Hub {
		for _, other := range []string{"registry-1.docker.io", "index.docker.io"} {
			if c, ok := f.Configs[other]; ok {
				return c
			}
		}
	}
	return f.Configs["*"]
}
