package certificate

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// usages are all that a request may name.
var usages = []certificatesv1.KeyUsage{
	certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment,
	certificatesv1.UsageKeyEncipherment, certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment,
	certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly,
	certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
	certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection,
	certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
	certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping, certificatesv1.UsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
}

const shortestSeconds = 600

var (
	conditionsPath  = field.NewPath("status", "conditions")
	certificatePath = field.NewPath("status", "certificate")
)

// requestCheck checks one request. What was already wrong with old stays allowed.
type requestCheck struct {
	check.List
	now, old *signingRequest // old is nil for a new request
}

func validateRequest(_ context.Context, r *signingRequest) field.ErrorList {
	c := &requestCheck{now: r}
	c.whole()
	return c.Errors()
}

// What a way of writing may set.
type rights struct{ verdict, certificate bool }

func validateRequestUpdate(_ context.Context, r, old *signingRequest) field.ErrorList {
	return validateChange(r, old, rights{})
}

func validateRequestStatus(_ context.Context, r, old *signingRequest) field.ErrorList {
	return validateChange(r, old, rights{certificate: true})
}

func validateApproval(_ context.Context, r, old *signingRequest) field.ErrorList {
	return validateChange(r, old, rights{verdict: true})
}

func validateChange(r, old *signingRequest, may rights) field.ErrorList {
	c := &requestCheck{now: r, old: old}
	c.whole()
	c.conditionsStay()
	if !may.verdict {
		c.verdictStays()
	}
	if !bytes.Equal(r.Status.Certificate, old.Status.Certificate) {
		switch {
		case !may.certificate:
			c.Forbidden(certificatePath, "updates may not set certificate content")
		case len(old.Status.Certificate) > 0:
			c.Forbidden(certificatePath, "updates may not modify existing certificate content")
		}
	}
	return c.Errors()
}

// allowed says whether old has the same fault.
func (c *requestCheck) allowed(fault func(*signingRequest) bool) bool {
	return c.old != nil && fault(c.old)
}

func (c *requestCheck) whole() {
	spec, at := &c.now.Spec, field.NewPath("spec")
	if err := wellSigned(spec.Request); err != nil {
		c.Invalid(at.Child("request"), spec.Request, err.Error())
	}
	c.usages(at.Child("usages"))
	legacy := func(r *signingRequest) bool { return r.Spec.SignerName == LegacyUnknown }
	if legacy(c.now) && !c.allowed(legacy) {
		c.Invalid(at.Child("signerName"), spec.SignerName, "the legacy signerName is not allowed via this API version")
	} else {
		c.Signer(at.Child("signerName"), spec.SignerName)
	}
	if s := spec.ExpirationSeconds; s != nil && *s < shortestSeconds {
		c.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)")
	}
	c.conditions()
	c.certificate()
}

func wellSigned(text []byte) error {
	r, err := Parse(text)
	if err != nil {
		return err
	}
	return r.CheckSignature()
}

func (c *requestCheck) usages(at *field.Path) {
	list := c.now.Spec.Usages
	if len(list) == 0 {
		c.Required(at, "")
	}
	unknown := func(r *signingRequest) bool {
		return slices.ContainsFunc(r.Spec.Usages, func(u certificatesv1.KeyUsage) bool { return !slices.Contains(usages, u) })
	}
	repeated := func(r *signingRequest) bool { return repeats(r.Spec.Usages) }
	for i, u := range list {
		if !c.allowed(unknown) {
			check.Known(&c.List, at.Index(i), u, usages...)
		}
		if slices.Contains(list[:i], u) && !c.allowed(repeated) {
			c.Duplicate(at.Index(i), u)
		}
	}
}

func repeats[T comparable](list []T) bool {
	for i := range list {
		if slices.Contains(list[:i], list[i]) {
			return true
		}
	}
	return false
}

func types(r *signingRequest) []certificatesv1.RequestConditionType {
	var all []certificatesv1.RequestConditionType
	for _, c := range r.Status.Conditions {
		all = append(all, c.Type)
	}
	return all
}

func (c *requestCheck) conditions() {
	all := types(c.now)
	nameless := func(r *signingRequest) bool { return slices.Contains(types(r), "") }
	repeated := func(r *signingRequest) bool { return repeats(types(r)) }
	for i, condition := range c.now.Status.Conditions {
		at := conditionsPath.Index(i)
		if condition.Type == "" && !c.allowed(nameless) {
			c.Required(at.Child("type"), "")
		}
		check.OneOf(&c.List, at.Child("status"), condition.Status, statuses(condition.Type)...)
		c.oneVerdict(all[:i], condition.Type)
		if slices.Contains(all[:i], condition.Type) && !c.allowed(repeated) {
			c.Duplicate(at.Child("type"), condition.Type)
		}
	}
}

func statuses(kind certificatesv1.RequestConditionType) []corev1.ConditionStatus {
	switch kind {
	case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
		return []corev1.ConditionStatus{corev1.ConditionTrue}
	}
	return []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown}
}

// oneVerdict refuses that a request is approved and denied.
func (c *requestCheck) oneVerdict(before []certificatesv1.RequestConditionType, kind certificatesv1.RequestConditionType) {
	other := map[certificatesv1.RequestConditionType]certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved: certificatesv1.CertificateDenied, certificatesv1.CertificateDenied: certificatesv1.CertificateApproved,
	}[kind]
	both := func(r *signingRequest) bool {
		return len(places(r, certificatesv1.CertificateApproved)) > 0 && len(places(r, certificatesv1.CertificateDenied)) > 0
	}
	if other != "" && slices.Contains(before, other) && !c.allowed(both) {
		c.Invalid(conditionsPath, kind, "Approved and Denied conditions are mutually exclusive")
	}
}

func (c *requestCheck) certificate() {
	text := c.now.Status.Certificate
	if c.allowed(func(old *signingRequest) bool {
		return bytes.Equal(text, old.Status.Certificate) || isCertificate(old.Status.Certificate) != nil
	}) {
		return
	}
	if err := isCertificate(text); err != nil {
		c.Invalid(certificatePath, "<certificate data>", err.Error())
	}
}

// isCertificate says what is wrong with the PEM blocks of an issued certificate; none is right.
func isCertificate(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	found := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		found = true
		if block.Type != certificateBlock {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) > 0 {
			return errors.New("no PEM block headers are permitted")
		}
		certs, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return err
		}
		if len(certs) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
	}
	if !found {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}

// certificateBlock is the type of PEM blocks that hold a certificate.
const certificateBlock = "CERTIFICATE"

// conditionsStay: what has been said of a request stays said.
func (c *requestCheck) conditionsStay() {
	for _, kind := range []certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed,
	} {
		if len(places(c.now, kind)) < len(places(c.old, kind)) {
			c.Forbidden(conditionsPath, fmt.Sprintf("updates may not remove a condition of type %q", kind))
		}
	}
}

func (c *requestCheck) verdictStays() {
	for _, kind := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied} {
		old, now := conditionsOf(c.old, kind), conditionsOf(c.now, kind)
		switch {
		case len(now) > len(old):
			c.Forbidden(conditionsPath, fmt.Sprintf("updates may not add a condition of type %q", kind))
		case len(now) == len(old) && !apiequality.Semantic.DeepEqual(old, now):
			c.Forbidden(conditionsPath, fmt.Sprintf("updates may not modify a condition of type %q\n%v", kind, diff.Diff(old, now)))
		}
	}
}

func conditionsOf(r *signingRequest, kind certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var all []certificatesv1.CertificateSigningRequestCondition
	for _, i := range places(r, kind) {
		all = append(all, r.Status.Conditions[i])
	}
	return all
}
