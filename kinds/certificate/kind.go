// Package certificate is all that the server knows of the group certificates.k8s.io: CertificateSigningRequests,
// ClusterTrustBundles and PodCertificateRequests, and who may approve, sign and attest for which signer. What
// approves and signs by itself is in the folder issue.
package certificate

import (
	"crypto/x509"
	"encoding/pem"
	"errors"

	"dhow/apiserver"
)

// Kinds defines the kinds of the group.
func Kinds() []apiserver.Kind { return []apiserver.Kind{requests(), bundles(), podRequests()} }

// LegacyUnknown is the signer of requests from before there were signers. None may be created for it any more.
const LegacyUnknown = "kubernetes.io/legacy-unknown"

// Parse reads the request in its PEM block.
func Parse(text []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}
