// Package issue has the controllers of certificates: what approves the requests of nodes by itself, what signs approved
// ones by the cluster's authority, what clears old ones away, and what publishes whom clients of the API can trust.
package issue

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
	"dhow/kinds/certificate"
)

// askAgain is how long a request waits for its requestor's permission at a time.
const askAgain = time.Minute

const (
	group    = certificatesv1.GroupName
	requests = "certificatesigningrequests"
)

// Approving approves requests for the client certificates of nodes whose requestor may "create" what stands for that:
// certificatesigningrequests/selfnodeclient for one's own, certificatesigningrequests/nodeclient for any.
func Approving() controller.Controller {
	return controller.Controller{
		Name:  "csrapproving",
		Reads: []controller.Read{{Object: &certificatesv1.CertificateSigningRequest{}}},
		Writes: []controller.Write{
			{Group: group, Resources: []string{requests + "/approval"}, Verbs: []string{"update"}},
			{Group: group, Resources: []string{"signers"}, Verbs: []string{"approve"}, Names: []string{certificatesv1.KubeAPIServerClientKubeletSignerName}},
			{Group: authorizationv1.GroupName, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
		},
		New: func(env controller.Env) controller.Reconciler { return &approver{env} },
	}
}

type approver struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (a *approver) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	r, err := a.env.Informers.Certificates().V1().CertificateSigningRequests().Lister().Get(key.Name)
	if err != nil || len(r.Status.Certificate) > 0 || verdict(r) != "" {
		return controller.Result{}, ignoreMissing(err)
	}
	parsed, err := certificate.Parse(r.Spec.Request)
	if err != nil {
		return controller.Result{}, nil // nothing that validation lets in
	}
	permissions := planApproval(r, parsed)
	for _, p := range permissions {
		allowed, err := a.allowed(ctx, r, p.subresource)
		if err != nil {
			return controller.Result{}, err
		}
		if allowed {
			return controller.Result{}, a.approve(ctx, r, p.message)
		}
	}
	if len(permissions) > 0 {
		return controller.Result{After: askAgain}, nil // the requestor may be given the permission yet
	}
	return controller.Result{}, nil
}

// permission is one that lets a request be approved by itself.
type permission struct{ subresource, message string }

// planApproval lists the permissions that would let a request pass.
func planApproval(r *certificatesv1.CertificateSigningRequest, parsed *x509.CertificateRequest) []permission {
	if r.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName || badNodeClient(parsed, r.Spec.Usages) != nil {
		return nil
	}
	all := []permission{{"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."}}
	if r.Spec.Username == parsed.Subject.CommonName {
		own := permission{"selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."}
		all = append([]permission{own}, all...)
	}
	return all
}

func (a *approver) allowed(ctx context.Context, r *certificatesv1.CertificateSigningRequest, subresource string) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range r.Spec.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: r.Spec.Username, UID: r.Spec.UID, Groups: r.Spec.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: group, Version: "*", Resource: requests, Subresource: subresource, Verb: "create",
		},
	}}
	answer, err := a.env.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("review the access of %s: %w", r.Spec.Username, err)
	}
	return answer.Status.Allowed, nil
}

func (a *approver) approve(ctx context.Context, r *certificatesv1.CertificateSigningRequest, message string) error {
	r = r.DeepCopy()
	r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved", Message: message,
	})
	_, err := a.env.Client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, r.Name, r, metav1.UpdateOptions{})
	return ignoreMissing(err)
}

// verdict is Approved or Denied, or "" while there is none.
func verdict(r *certificatesv1.CertificateSigningRequest) certificatesv1.RequestConditionType {
	for _, kind := range []certificatesv1.RequestConditionType{certificatesv1.CertificateDenied, certificatesv1.CertificateApproved} {
		if condition(r, kind) != nil {
			return kind
		}
	}
	return ""
}

// condition is the first of a type, or nil.
func condition(r *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequestCondition {
	for i := range r.Status.Conditions {
		if r.Status.Conditions[i].Type == kind {
			return &r.Status.Conditions[i]
		}
	}
	return nil
}

// ignoreMissing: what is gone needs nothing more.
func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
