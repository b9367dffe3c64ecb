package image

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"
)

// registries is the file registries.yaml in k3s' format: where to go instead of a registry, and how to prove
// who asks.
type registries struct {
	Mirrors map[string]mirror         `json:"mirrors"`
	Configs map[string]registryConfig `json:"configs"`
}

type mirror struct {
	Endpoints []string          `json:"endpoint"`
	Rewrites  map[string]string `json:"rewrite"`
}

type registryConfig struct {
	Auth *struct {
		Username      string `json:"username"`
		Password      string `json:"password"`
		Auth          string `json:"auth"`
		IdentityToken string `json:"identity_token"`
	} `json:"auth"`
	TLS *struct {
		CAFile             string `json:"ca_file"`
		CertFile           string `json:"cert_file"`
		KeyFile            string `json:"key_file"`
		InsecureSkipVerify bool   `json:"insecure_skip_verify"`
	} `json:"tls"`
}

// readRegistries reads the file anew for each pull, so that a change needs no restart.
func readRegistries(path string) (*registries, error) {
	r := &registries{}
	if path == "" {
		return r, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registries: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// source is one place to pull from.
type source struct {
	ref       name.Reference
	transport http.RoundTripper
	auth      authn.Authenticator // nil: the keychain decides
}

// sources are the mirrors of a reference's registry in the file's order, then the registry itself.
func (r *registries) sources(ref name.Reference, auth *cri.AuthConfig) ([]source, error) {
	host := ref.Context().RegistryStr()
	if host == hubHost {
		host = hub
	}
	m, found := r.Mirrors[host]
	if !found {
		m = r.Mirrors["*"]
	}
	var all []source
	for _, endpoint := range m.Endpoints {
		s, err := r.mirrored(ref, m, endpoint)
		if err != nil {
			return nil, fmt.Errorf("mirror of %s: %w", host, err)
		}
		all = append(all, s)
	}
	transport, err := r.transport(host)
	if err != nil {
		return nil, err
	}
	own := source{ref: ref, transport: transport, auth: r.auth(host)}
	if auth != nil {
		own.auth = criAuth(auth)
	}
	return append(all, own), nil
}

func (r *registries) mirrored(ref name.Reference, m mirror, endpoint string) (source, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return source{}, fmt.Errorf("endpoint %q is not a URL such as https://mirror:5000", endpoint)
	}
	repo := ref.Context().RepositoryStr()
	for pattern, replacement := range m.Rewrites {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return source{}, fmt.Errorf("rewrite %q: %w", pattern, err)
		}
		if re.MatchString(repo) {
			repo = re.ReplaceAllString(repo, replacement)
			break
		}
	}
	var options []name.Option
	if u.Scheme == "http" {
		options = append(options, name.Insecure)
	}
	prefix := strings.Trim(strings.TrimSuffix(strings.Trim(u.Path, "/"), "v2"), "/")
	full := u.Host + "/" + strings.TrimPrefix(prefix+"/"+repo, "/") + separator(ref) + ref.Identifier()
	mirrored, err := name.ParseReference(full, options...)
	if err != nil {
		return source{}, err
	}
	transport, err := r.transport(u.Host)
	return source{ref: mirrored, transport: transport, auth: r.auth(u.Host)}, err
}

func (r *registries) auth(host string) authn.Authenticator {
	c := r.Configs[host].Auth
	if c == nil {
		return nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, Auth: c.Auth, IdentityToken: c.IdentityToken})
}

func criAuth(a *cri.AuthConfig) authn.Authenticator {
	config := authn.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth != "" {
		if plain, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			config.Username, config.Password, _ = strings.Cut(string(plain), ":")
		}
	}
	return authn.FromConfig(config)
}

// transport speaks TLS as the file says for host.
func (r *registries) transport(host string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = layersAtOnce
	c := r.Configs[host].TLS
	if c == nil {
		return &resuming{patient{t, patience}}, nil
	}
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("registry %s: ca_file: %w", host, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("registry %s: ca_file %s holds no PEM certificate", host, c.CAFile)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("registry %s: cert_file, key_file: %w", host, err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return &resuming{patient{t, patience}}, nil
}
