package identity

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

func request(t *testing.T) *x509.CertificateRequest {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "jane", Organization: []string{"readers"}}, DNSNames: []string{"jane.example"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGrantedCertificateIsOfTheRequestsSubjectAndKey(t *testing.T) {
	ca, err := newAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	r := request(t)
	text, err := ca.Grant(r, Terms{
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now(), NotAfter: time.Now().Add(20 * caValid),
	})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case cert.CheckSignatureFrom(ca.Cert) != nil:
		t.Error("not signed by the authority")
	case cert.Subject.String() != r.Subject.String() || cert.DNSNames[0] != "jane.example":
		t.Errorf("subject %s, names %v", cert.Subject, cert.DNSNames)
	case cert.IsCA || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth:
		t.Error("usages are not those asked for")
	case cert.NotAfter.After(ca.Cert.NotAfter):
		t.Errorf("outlives the authority: %s", cert.NotAfter)
	}
}

func TestForgedRequestIsNotGranted(t *testing.T) {
	ca, err := newAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	r := request(t)
	r.RawTBSCertificateRequest[20] ^= 1
	if _, err := ca.Grant(r, Terms{NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}); err == nil || !strings.Contains(err.Error(), "unable to verify") {
		t.Errorf("granted: %v", err)
	}
}
