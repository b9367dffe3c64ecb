package identity

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Terms are what an authority puts into a certificate that somebody else has asked for.
type Terms struct {
	KeyUsage    x509.KeyUsage
	ExtKeyUsage []x509.ExtKeyUsage
	// NotBefore and NotAfter bound the certificate's life; it ends with the authority's own at the latest.
	NotBefore, NotAfter time.Time
}

// Grant signs a request: the certificate (PEM) has the request's key, subject and alternative names, and none of its
// extensions. The request's own signature must be right.
func (a *Authority) Grant(request *x509.CertificateRequest, t Terms) ([]byte, error) {
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("unable to verify certificate request signature: %w", err)
	}
	end := a.Cert.NotAfter
	if now := time.Now(); !now.Before(end) || !t.NotBefore.Before(end) {
		return nil, errors.New("the signer has expired: NotAfter=" + end.String())
	}
	if t.NotAfter.After(end) {
		t.NotAfter = end
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: request.Subject,
		DNSNames: request.DNSNames, IPAddresses: request.IPAddresses, EmailAddresses: request.EmailAddresses, URIs: request.URIs,
		KeyUsage: t.KeyUsage, ExtKeyUsage: t.ExtKeyUsage, BasicConstraintsValid: true,
		NotBefore: t.NotBefore, NotAfter: t.NotAfter,
	}, a.Cert, request.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %q: %w", request.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
