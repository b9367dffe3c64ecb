package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// connections bounds the idle ones of a pull or push.
const connections = 8

// answerMost bounds what a registry may say that is no blob: manifests, tokens, lists of tags (OCI's
// distribution-spec asks for 4 MiB at least).
const answerMost = 8 << 20

func (f *File) auth(host string) authn.Authenticator {
	c := f.host(host).Auth
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
func (f *File) transport(host string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = connections
	t.DisableCompression = true // a layer is what it is
	c := f.host(host).TLS
	if c != nil {
		config, err := c.config()
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", host, err)
		}
		t.TLSClientConfig = config
	}
	return &resuming{bounded{patient{t, patience}}}, nil
}

func (c *TLS) config() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no PEM certificate", c.CAFile)
		}
		config.RootCAs = pool
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file, key_file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// based is a transport for an endpoint with a path of its own, which stands for the protocol's /v2 then, as k3s has it.
type based struct {
	next http.RoundTripper
	host string
	path string
}

// RoundTrip implements http.RoundTripper. /v2/ alone asks who may come in, and stays.
func (b based) RoundTrip(r *http.Request) (*http.Response, error) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v2/"); ok && rest != "" && r.URL.Host == b.host {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = b.path+"/"+rest, ""
	}
	return b.next.RoundTrip(r)
}

// bounded is a transport that reads no endless manifests.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil || ofBlob(r) {
		return resp, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: answerMost, from: r.URL.Redacted()}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
	from string
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("%s answers more than %d MiB, which no manifest is", b.from, answerMost>>20)
	}
	return n, err
}
