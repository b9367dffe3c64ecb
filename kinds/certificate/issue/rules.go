package issue

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"

	"dhow/kinds/certificate"
)

// rule says what breaks a signer's rules in a request.
type rule func(parsed *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error

// signers are those that the cluster's authority signs for.
func signers() map[string]rule {
	return map[string]rule{
		certificatesv1.KubeletServingSignerName:             badNodeServing,
		certificatesv1.KubeAPIServerClientKubeletSignerName: badNodeClient,
		certificatesv1.KubeAPIServerClientSignerName:        badClient,
		certificate.LegacyUnknown:                           func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error { return nil },
	}
}

// Node certificates are of users system:node:<name> in the group system:nodes.
const (
	nodesGroup = "system:nodes"
	nodePrefix = "system:node:"
)

func badNode(parsed *x509.CertificateRequest) error {
	switch {
	case !slices.Equal(parsed.Subject.Organization, []string{nodesGroup}):
		return errors.New("subject organization is not system:nodes")
	case len(parsed.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed")
	case len(parsed.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	case !strings.HasPrefix(parsed.Subject.CommonName, nodePrefix):
		return errors.New("subject common name does not begin with system:node:")
	}
	return nil
}

func badNodeServing(parsed *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := badNode(parsed); err != nil {
		return err
	}
	if len(parsed.DNSNames)+len(parsed.IPAddresses) == 0 {
		return errors.New("DNS or IP subjectAltName is required")
	}
	return exactly(usages, certificatesv1.UsageServerAuth)
}

func badNodeClient(parsed *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := badNode(parsed); err != nil {
		return err
	}
	switch {
	case len(parsed.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(parsed.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	}
	return exactly(usages, certificatesv1.UsageClientAuth)
}

// exactly requires a purpose and digital signature; key encipherment, which only RSA keys need, may be there.
func exactly(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	need := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, purpose}
	allowed := append([]certificatesv1.KeyUsage{certificatesv1.UsageKeyEncipherment}, need...)
	for _, u := range usages {
		if !slices.Contains(allowed, u) {
			return fmt.Errorf("usages did not match %v", sorted(allowed))
		}
	}
	for _, u := range need {
		if !slices.Contains(usages, u) {
			return fmt.Errorf("usages did not match %v", sorted(allowed))
		}
	}
	return nil
}

func badClient(_ *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	for _, u := range usages {
		switch u {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth:
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", u)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

func sorted[T ~string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
