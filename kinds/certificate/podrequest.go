package certificate

import (
	"context"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

type podRequest = certificatesv1.PodCertificateRequest

// Bounds of what a pod may ask for, in seconds and bytes.
const (
	shortestPodSeconds = 60 * 60
	usualPodSeconds    = 24 * 60 * 60
	longestPodSeconds  = 91 * 24 * 60 * 60
	longestRequest     = 10 << 10
)

// podRequests are what node agents ask for on behalf of pods.
func podRequests() apiserver.Kind {
	return apiserver.Define[*podRequest, *certificatesv1.PodCertificateRequestList](certificatesv1.SchemeGroupVersion,
		apiserver.Names{Kind: "PodCertificateRequest", Resource: "podcertificaterequests"},
		apiserver.Rules[*podRequest]{
			Default: func(r *podRequest) {
				if r.Spec.MaxExpirationSeconds == nil {
					seconds := int32(usualPodSeconds)
					r.Spec.MaxExpirationSeconds = &seconds
				}
			},
			NoGeneration: true,
			Validate:     validatePodRequest,
			ValidateUpdate: func(_ context.Context, r, old *podRequest) field.ErrorList {
				var c check.List
				c.Immutable(field.NewPath("spec"), r.Spec, old.Spec)
				return c.Errors()
			},
			HasStatus:              true,
			PrepareForStatus:       func(_ context.Context, r, old *podRequest) { metav1.ResetObjectMetaForStatus(r, old) },
			ValidateStatusUpdate:   validatePodRequestStatus,
			RequireResourceVersion: true,
			Fields: func(r *podRequest) fields.Set {
				return fields.Set{"spec.signerName": r.Spec.SignerName, "spec.podName": r.Spec.PodName, "spec.nodeName": string(r.Spec.NodeName)}
			},
			Columns: podRequestColumns(),
			Cells:   podRequestCells,
		})
}

func podRequestColumns() []metav1.TableColumnDefinition {
	doc := certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("PodName", doc["podName"]),
		table.Column("ServiceAccountName", doc["serviceAccountName"]),
		table.Column("NodeName", doc["nodeName"]),
		table.Column("SignerName", doc["signerName"]),
		table.Column("State", "Is the request Pending, Issued, Denied, or Failed?"),
		table.Wide("UnverifiedUserAnnotations", doc["unverifiedUserAnnotations"]),
	}
}

func podRequestCells(r *podRequest) []any {
	state := "Pending"
	for _, c := range r.Status.Conditions {
		if isOutcome(c.Type) {
			state = c.Type
		}
	}
	s := &r.Spec
	return []any{s.PodName, s.ServiceAccountName, string(s.NodeName), s.SignerName, state, labels.FormatLabels(s.UnverifiedUserAnnotations)}
}

func isOutcome(kind string) bool {
	switch kind {
	case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied,
		certificatesv1.PodCertificateRequestConditionTypeFailed:
		return true
	}
	return false
}

func validatePodRequest(_ context.Context, r *podRequest) field.ErrorList {
	c := &podRequestCheck{}
	spec, at := &r.Spec, field.NewPath("spec")
	c.Signer(at.Child("signerName"), spec.SignerName)
	c.annotations(at.Child("unverifiedUserAnnotations"), spec.UnverifiedUserAnnotations)
	c.Subdomain(at.Child("podName"), spec.PodName)
	c.uid(at.Child("podUID"), string(spec.PodUID))
	c.Subdomain(at.Child("serviceAccountName"), spec.ServiceAccountName)
	c.uid(at.Child("serviceAccountUID"), string(spec.ServiceAccountUID))
	c.Subdomain(at.Child("nodeName"), string(spec.NodeName))
	c.uid(at.Child("nodeUID"), string(spec.NodeUID))
	if spec.MaxExpirationSeconds == nil {
		c.Required(at.Child("maxExpirationSeconds"), "must be set")
		return c.Errors()
	}
	longest := int32(longestPodSeconds)
	if ours(spec.SignerName) {
		longest = usualPodSeconds
	}
	if s := *spec.MaxExpirationSeconds; s < shortestPodSeconds || s > longest {
		c.Invalid(at.Child("maxExpirationSeconds"), s, fmt.Sprintf("must be in the range [%d, %d]", shortestPodSeconds, longest))
	}
	c.proof(at.Child("stubPKCS10Request"), spec.StubPKCS10Request)
	return c.Errors()
}

// ours says whether a signer is the project's own.
func ours(signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	return domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
}

type podRequestCheck struct{ check.List }

func (c *podRequestCheck) uid(at *field.Path, uid string) {
	const longest = 128
	if uid == "" {
		c.Invalid(at, uid, "must not be empty")
	}
	if len(uid) > longest {
		c.Add(field.TooLong(at, uid, longest))
	}
}

func (c *podRequestCheck) annotations(at *field.Path, set map[string]string) {
	for key := range set {
		c.Add(validation.IsDomainPrefixedKey(at, strings.ToLower(key))...)
	}
	if apivalidation.ValidateAnnotationsSize(set) != nil {
		c.Add(field.TooLong(at, "", apivalidation.TotalAnnotationSizeLimitB))
	}
}

func validatePodRequestStatus(_ context.Context, r, old *podRequest) field.ErrorList {
	c := &podRequestCheck{}
	c.outcome(r.Status.Conditions)
	if len(c.Errors()) > 0 {
		return c.Errors()
	}
	at := field.NewPath("status")
	was, is := outcome(old), outcome(r)
	switch {
	case was != "":
		c.same(at, r.Status, old.Status, "immutable after PodCertificateRequest is issued, denied, or failed")
	case is == certificatesv1.PodCertificateRequestConditionTypeIssued:
		c.issued(r, old)
	case is != "":
		c.same(at, r.Status, certificatesv1.PodCertificateRequestStatus{Conditions: r.Status.Conditions},
			"non-condition status fields must be empty when denying or failing the PodCertificateRequest")
	default:
		c.same(at, r.Status, old.Status, `status is immutable unless transitioning to "Issued", "Denied", or "Failed"`)
	}
	return c.Errors()
}

func (c *podRequestCheck) same(at *field.Path, a, b certificatesv1.PodCertificateRequestStatus, why string) {
	if !apiequality.Semantic.DeepEqual(a, b) {
		c.Invalid(at, field.OmitValueType{}, why)
	}
}

// outcome is the condition that ends a request, "" while it is open.
func outcome(r *podRequest) string {
	for _, c := range r.Status.Conditions {
		if isOutcome(c.Type) && c.Status == metav1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}
