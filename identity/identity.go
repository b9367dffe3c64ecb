// Package identity is who is who in a cluster: the certificate authorities, the server's own keys and
// certificates, the key that signs service-account tokens, and the certificates of components. It makes them
// once and hands them out; it authenticates nobody.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dhow/internal/atomicfile"
)

// How long certificates are good for. Leaves are made anew by a start in their last thirty days.
const (
	caValid    = 10 * 365 * 24 * time.Hour
	leafValid  = 365 * 24 * time.Hour
	renewUnder = 30 * 24 * time.Hour
)

// Identity is a cluster's keys, open for use.
type Identity struct {
	dir string
	// CA signs the serving certificates and the client certificates of components and administrators.
	CA *Authority
	// FrontProxyCA signs the certificate by which aggregated API servers know this one.
	FrontProxyCA *Authority
	// ServiceAccountKeys sign and verify service-account tokens.
	ServiceAccountKeys *ServiceAccountKeys
}

// Open reads the keys in dir, or makes them all when there are none. The folder appears whole or not at all;
// it has mode 0700, its files 0600.
func Open(dir string) (*Identity, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := create(dir); err != nil {
			return nil, fmt.Errorf("make the cluster's keys: %w", err)
		}
	}
	id, err := read(dir)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's keys (delete %s to make new ones): %w", dir, err)
	}
	return id, nil
}

// create fills a folder beside dir and renames it.
func create(dir string) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".pki-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for name, cn := range map[string]string{"ca": "dhow-ca", "front-proxy-ca": "dhow-front-proxy-ca"} {
		ca, err := newAuthority(cn)
		if err != nil {
			return err
		}
		if err := ca.pair().write(tmp, name); err != nil {
			return err
		}
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(tmp, signingKeyFile), key); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return atomicfile.SyncDir(parent)
}

func read(dir string) (*Identity, error) {
	id := &Identity{dir: dir}
	var err error
	if id.CA, err = readAuthority(dir, "ca"); err != nil {
		return nil, err
	}
	if id.FrontProxyCA, err = readAuthority(dir, "front-proxy-ca"); err != nil {
		return nil, err
	}
	id.ServiceAccountKeys, err = openServiceAccountKeys(dir)
	return id, err
}

// Serving returns the certificate file and key file of a server for names (DNS names and IP addresses). What
// an earlier call made for the same names is used again until it nears its end.
func (id *Identity) Serving(file, cn string, names []string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(id.dir, file+".crt"), filepath.Join(id.dir, file+".key")
	if old, err := readPair(id.dir, file); err == nil && id.stillServes(old.cert, names) {
		return certFile, keyFile, nil
	}
	pair, err := id.CA.issue(servingTemplate(cn, names))
	if err != nil {
		return "", "", fmt.Errorf("make the certificate %s: %w", file, err)
	}
	return certFile, keyFile, pair.write(id.dir, file)
}

func (id *Identity) stillServes(cert *x509.Certificate, names []string) bool {
	for _, name := range names {
		if cert.VerifyHostname(name) != nil {
			return false
		}
	}
	return time.Until(cert.NotAfter) > renewUnder && cert.CheckSignatureFrom(id.CA.Cert) == nil
}

// Client makes a certificate and key (PEM) for a user of the API: cn is the user's name, orgs its groups.
func (id *Identity) Client(cn string, orgs ...string) (certPEM, keyPEM []byte, err error) {
	return id.CA.client(cn, orgs)
}

// FrontProxyClient makes the certificate and key (PEM) for requests passed on to aggregated API servers.
func (id *Identity) FrontProxyClient() (certPEM, keyPEM []byte, err error) {
	return id.FrontProxyCA.client("front-proxy-client", nil)
}

// CAFile holds the PEM certificate of CA.
func (id *Identity) CAFile() string { return filepath.Join(id.dir, "ca.crt") }

// FrontProxyCAFile holds the PEM certificate of FrontProxyCA.
func (id *Identity) FrontProxyCAFile() string { return filepath.Join(id.dir, "front-proxy-ca.crt") }
