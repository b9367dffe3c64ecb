package issue

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
	"dhow/identity"
	"dhow/kinds/certificate"
)

// How long certificates hold.
const (
	longest  = 365 * 24 * time.Hour
	shortest = 10 * time.Minute
	// backdate: clocks differ. What holds for less than short is not cut by it at its end.
	backdate = 5 * time.Minute
	short    = 8 * time.Hour
)

// Authority signs requests.
type Authority interface {
	Grant(request *x509.CertificateRequest, t identity.Terms) ([]byte, error)
}

// Signing signs approved requests to the signers of the project by the cluster's authority; requests that break their
// signer's rules get the condition Failed.
func Signing(ca Authority) controller.Controller {
	var names []string
	for name := range signers() {
		names = append(names, name)
	}
	return controller.Controller{
		Name:  "csrsigning",
		Reads: []controller.Read{{Object: &certificatesv1.CertificateSigningRequest{}}},
		Writes: []controller.Write{
			{Group: group, Resources: []string{requests + "/status"}, Verbs: []string{"update"}},
			{Group: group, Resources: []string{"signers"}, Verbs: []string{"sign"}, Names: sorted(names)},
		},
		New: func(env controller.Env) controller.Reconciler { return &signer{env, ca} },
	}
}

type signer struct {
	env controller.Env
	ca  Authority
}

// Reconcile implements controller.Reconciler.
func (s *signer) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	r, err := s.env.Informers.Certificates().V1().CertificateSigningRequests().Lister().Get(key.Name)
	if err != nil {
		return controller.Result{}, ignoreMissing(err)
	}
	rule, known := signers()[r.Spec.SignerName]
	if !known || !due(r) {
		return controller.Result{}, nil
	}
	parsed, err := certificate.Parse(r.Spec.Request)
	if err != nil {
		return controller.Result{}, nil // nothing that validation lets in
	}
	r = r.DeepCopy()
	if broken := rule(parsed, r.Spec.Usages); broken != nil {
		r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure",
			Message: broken.Error(), LastUpdateTime: metav1.NewTime(s.env.Now()),
		})
	} else if r.Status.Certificate, err = s.sign(r, parsed); err != nil {
		return controller.Result{}, fmt.Errorf("sign: %w", err)
	}
	_, err = s.env.Client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, r, metav1.UpdateOptions{})
	return controller.Result{}, ignoreMissing(err)
}

// due: approved, not yet signed, not failed.
func due(r *certificatesv1.CertificateSigningRequest) bool {
	return len(r.Status.Certificate) == 0 && verdict(r) == certificatesv1.CertificateApproved && condition(r, certificatesv1.CertificateFailed) == nil
}

func (s *signer) sign(r *certificatesv1.CertificateSigningRequest, parsed *x509.CertificateRequest) ([]byte, error) {
	terms, err := planTerms(r.Spec.Usages, r.Spec.ExpirationSeconds, s.env.Now())
	if err != nil {
		return nil, err
	}
	return s.ca.Grant(parsed, terms)
}

// planTerms are the usages that were asked for, and the life as far as it is within bounds.
func planTerms(usages []certificatesv1.KeyUsage, seconds *int32, now time.Time) (identity.Terms, error) {
	life := longest
	if seconds != nil {
		life = min(max(time.Duration(*seconds)*time.Second, shortest), longest)
	}
	t := identity.Terms{NotBefore: now.Add(-backdate), NotAfter: now.Add(life)}
	if life >= short {
		t.NotAfter = t.NotAfter.Add(-backdate)
	}
	var unknown []error
	for _, u := range usages {
		if bit, ok := keyUsages[u]; ok {
			t.KeyUsage |= bit
		} else if extended, ok := extKeyUsages[u]; ok {
			t.ExtKeyUsage = append(t.ExtKeyUsage, extended)
		} else {
			unknown = append(unknown, fmt.Errorf("unrecognized usage %q", u))
		}
	}
	return t, errors.Join(unknown...)
}

var keyUsages = map[certificatesv1.KeyUsage]x509.KeyUsage{
	certificatesv1.UsageSigning:           x509.KeyUsageDigitalSignature,
	certificatesv1.UsageDigitalSignature:  x509.KeyUsageDigitalSignature,
	certificatesv1.UsageContentCommitment: x509.KeyUsageContentCommitment,
	certificatesv1.UsageKeyEncipherment:   x509.KeyUsageKeyEncipherment,
	certificatesv1.UsageKeyAgreement:      x509.KeyUsageKeyAgreement,
	certificatesv1.UsageDataEncipherment:  x509.KeyUsageDataEncipherment,
	certificatesv1.UsageCertSign:          x509.KeyUsageCertSign,
	certificatesv1.UsageCRLSign:           x509.KeyUsageCRLSign,
	certificatesv1.UsageEncipherOnly:      x509.KeyUsageEncipherOnly,
	certificatesv1.UsageDecipherOnly:      x509.KeyUsageDecipherOnly,
}

var extKeyUsages = map[certificatesv1.KeyUsage]x509.ExtKeyUsage{
	certificatesv1.UsageAny:             x509.ExtKeyUsageAny,
	certificatesv1.UsageServerAuth:      x509.ExtKeyUsageServerAuth,
	certificatesv1.UsageClientAuth:      x509.ExtKeyUsageClientAuth,
	certificatesv1.UsageCodeSigning:     x509.ExtKeyUsageCodeSigning,
	certificatesv1.UsageEmailProtection: x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageSMIME:           x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageIPsecEndSystem:  x509.ExtKeyUsageIPSECEndSystem,
	certificatesv1.UsageIPsecTunnel:     x509.ExtKeyUsageIPSECTunnel,
	certificatesv1.UsageIPsecUser:       x509.ExtKeyUsageIPSECUser,
	certificatesv1.UsageTimestamping:    x509.ExtKeyUsageTimeStamping,
	certificatesv1.UsageOCSPSigning:     x509.ExtKeyUsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC:    x509.ExtKeyUsageMicrosoftServerGatedCrypto,
	certificatesv1.UsageNetscapeSGC:     x509.ExtKeyUsageNetscapeServerGatedCrypto,
}
