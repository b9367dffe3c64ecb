package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	longestChain = 100 << 10 // bytes
	startSkew    = 5 * time.Minute
	shortestLife = time.Hour
	refreshGap   = 10 * time.Minute
)

// proof checks the request by which a pod proves that it has the key.
func (c *podRequestCheck) proof(at *field.Path, der []byte) {
	if len(der) == 0 {
		c.Required(at, "")
		return
	}
	if len(der) > longestRequest {
		c.Add(field.TooLong(at, der, longestRequest))
		return
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		c.Invalid(at, field.OmitValueType{}, "must be a valid PKCS#10 CSR")
		return
	}
	if !c.goodKey(at, r.PublicKey) {
		return
	}
	if r.CheckSignature() != nil {
		c.Invalid(at, field.OmitValueType{}, "invalid signature")
	}
}

func (c *podRequestCheck) goodKey(at *field.Path, key crypto.PublicKey) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return true
	case *ecdsa.PublicKey:
		if slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return true
		}
		c.Invalid(at, "curve "+k.Curve.Params().Name, "elliptic public keys must use curve P256, P384, or P521")
	case *rsa.PublicKey:
		bits := k.Size() * 8
		if bits == 3072 || bits == 4096 {
			return true
		}
		c.Invalid(at, fmt.Sprintf("%d-bit modulus", bits), "RSA keys must have modulus size 3072 or 4096")
	default:
		c.Invalid(at, field.OmitValueType{}, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
	}
	return false
}

// outcome allows one condition that ends the request, and no others.
func (c *podRequestCheck) outcome(conditions []metav1.Condition) {
	all := field.NewPath("status", "conditions")
	for i, condition := range conditions {
		at := all.Index(i)
		if !isOutcome(condition.Type) {
			c.Add(field.NotSupported(at.Child("type"), condition.Type, []string{
				certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied,
				certificatesv1.PodCertificateRequestConditionTypeFailed,
			}))
			continue
		}
		if slices.ContainsFunc(conditions[:i], func(o metav1.Condition) bool { return isOutcome(o.Type) }) {
			c.Invalid(at.Child("type"), condition.Type, `There may be at most one condition with type "Issued", "Denied", or "Failed"`)
		}
		if condition.Status != metav1.ConditionTrue {
			c.Add(field.NotSupported(at.Child("status"), condition.Status, []metav1.ConditionStatus{metav1.ConditionTrue}))
		}
	}
	c.Add(metavalidation.ValidateConditions(conditions, all)...)
}

// issued checks what a signer gave: to the right key, for the right time. It stops at the first fault.
func (c *podRequestCheck) issued(r, old *podRequest) {
	status, at := &r.Status, field.NewPath("status")
	chain := at.Child("certificateChain")
	if len(status.CertificateChain) > longestChain {
		c.Add(field.TooLong(chain, status.CertificateChain, longestChain))
		return
	}
	leaf, wrong := parseChain(status.CertificateChain)
	if wrong == "" && !sameKey(leaf, old.Spec.StubPKCS10Request) {
		wrong = "leaf certificate was not issued to the requested public key"
	}
	if wrong != "" {
		c.Invalid(chain, status.CertificateChain, wrong)
		return
	}
	c.names(chain, leaf)
	if !c.timed(at, status) {
		return
	}
	c.times(at, status, leaf)
	c.life(chain, leaf, time.Duration(*r.Spec.MaxExpirationSeconds)*time.Second)
}

// parseChain returns the first certificate of a chain, or what is wrong with the chain.
func parseChain(text string) (leaf *x509.Certificate, wrong string) {
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, "issued certificate chain must contain at least one certificate"
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateBlock {
			return nil, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil && leaf == nil:
			return nil, "leaf certificate does not parse as valid X.509"
		case err != nil:
			return nil, "intermediate certificate does not parse as valid X.509"
		case leaf == nil:
			leaf = cert
		}
	}
	return leaf, ""
}

func sameKey(leaf *x509.Certificate, request []byte) bool {
	asked, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return false
	}
	key, ok := asked.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(leaf.PublicKey)
}

func (c *podRequestCheck) names(at *field.Path, leaf *x509.Certificate) {
	for _, name := range leaf.DNSNames {
		if name == "" {
			c.Invalid(at, name, "leaf certificate should not contain empty DNSName")
		}
		if strings.Contains(name, "..") {
			c.Invalid(at, name, "leaf certificate's DNSName should not contain '..'")
		}
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			c.Invalid(at, name, "leaf certificate's DNSName should not start or end with '.'")
		}
	}
	for _, address := range leaf.EmailAddresses {
		if _, err := mail.ParseAddress(address); err != nil {
			c.Invalid(at, address, "leaf certificate should not contain invalid EmailAddress")
		}
	}
}

// timed requires the three times of an issued certificate.
func (c *podRequestCheck) timed(at *field.Path, s *certificatesv1.PodCertificateRequestStatus) bool {
	const consistent = "must be present and consistent with the issued certificate"
	if s.NotBefore == nil {
		c.Required(at.Child("notBefore"), consistent)
	}
	if s.NotAfter == nil {
		c.Required(at.Child("notAfter"), consistent)
	}
	if s.BeginRefreshAt == nil {
		c.Required(at.Child("beginRefreshAt"), "must be present and in the range [notbefore+10min, notafter-10min]")
	}
	return s.NotBefore != nil && s.NotAfter != nil && s.BeginRefreshAt != nil
}

func (c *podRequestCheck) times(at *field.Path, s *certificatesv1.PodCertificateRequestStatus, leaf *x509.Certificate) {
	begin, end, refresh := s.NotBefore.Time, s.NotAfter.Time, s.BeginRefreshAt.Time
	if !begin.Equal(leaf.NotBefore) {
		c.Invalid(at.Child("notBefore"), begin, "must be set to the NotBefore time encoded in the leaf certificate")
	} else if time.Since(begin).Abs() >= startSkew {
		c.Invalid(at.Child("notBefore"), begin, "must be set to within 5 minutes of kube-apiserver's current time")
	}
	if !end.Equal(leaf.NotAfter) {
		c.Invalid(at.Child("notAfter"), end, "must be set to the NotAfter time encoded in the leaf certificate")
	}
	switch {
	case refresh.Before(begin.Add(refreshGap)):
		c.Invalid(at.Child("beginRefreshAt"), refresh, "must be at least 10 minutes after status.notBefore")
	case refresh.After(end.Add(-refreshGap)):
		c.Invalid(at.Child("beginRefreshAt"), refresh, "must be at least 10 minutes before status.notAfter")
	}
}

func (c *podRequestCheck) life(at *field.Path, leaf *x509.Certificate, longest time.Duration) {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	switch {
	case life < shortestLife:
		c.Invalid(at, life, "leaf certificate lifetime must be >= 1 hour")
	case life > longest:
		c.Invalid(at, life, fmt.Sprintf("leaf certificate lifetime must be <= spec.maxExpirationSeconds (%d)", int64(longest/time.Second)))
	}
}
