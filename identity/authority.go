package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Authority is a certificate authority: its certificate and the key behind it.
type Authority struct {
	Cert *x509.Certificate
	PEM  []byte // Cert, PEM-encoded
	key  *ecdsa.PrivateKey
}

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newAuthority(cn string) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: cn},
		NotAfter:              time.Now().Add(caValid),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return authority(pair{cert, key}), nil
}

func authority(p pair) *Authority {
	return &Authority{Cert: p.cert, PEM: certPEM(p.cert), key: p.key}
}

func readAuthority(dir, name string) (*Authority, error) {
	p, err := readPair(dir, name)
	if err != nil {
		return nil, err
	}
	return authority(p), nil
}

func (a *Authority) pair() pair { return pair{a.Cert, a.key} }

func (a *Authority) issue(template *x509.Certificate) (pair, error) {
	key, err := newKey()
	if err != nil {
		return pair{}, err
	}
	cert, err := sign(template, a.Cert, key, a.key)
	return pair{cert, key}, err
}

func (a *Authority) client(cn string, orgs []string) (cert, key []byte, err error) {
	p, err := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: cn, Organization: orgs},
		NotAfter:    time.Now().Add(leafValid),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(p.key)
	return certPEM(p.cert), key, err
}

func servingTemplate(cn string, names []string) *x509.Certificate {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: cn},
		NotAfter:    time.Now().Add(leafValid),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t
}

// sign completes template with a serial number and a start (an hour ago: clocks differ).
func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// clientCertGood says whether a PEM certificate will hold for a while yet.
func clientCertGood(data []byte) bool {
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && time.Until(cert.NotAfter) > renewUnder
}
