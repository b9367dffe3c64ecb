package certificate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"dhow/api/admit"
)

var (
	requestResource    = certificatesv1.Resource("certificatesigningrequests")
	bundleResource     = certificatesv1.Resource("clustertrustbundles")
	podRequestResource = certificatesv1.Resource("podcertificaterequests")
)

// guard is a plug-in that asks for a verb on signers. check does nothing for requests that are not its business.
type guard struct {
	*admission.Handler
	check func(ctx context.Context, g *guard, a admission.Attributes) error
	authz authorizer.Authorizer
}

var _ admission.ValidationInterface = &guard{}

// SetAuthorizer implements initializer.WantsAuthorizer: the server gives its own.
func (g *guard) SetAuthorizer(a authorizer.Authorizer) { g.authz = a }

// ValidateInitialization implements admission.InitializationValidator.
func (g *guard) ValidateInitialization() error {
	if g.authz == nil {
		return errors.New("certificates: no authorizer")
	}
	return nil
}

// Validate implements admission.ValidationInterface.
func (g *guard) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	return g.check(ctx, g, a)
}

// may says whether a user has a verb on a signer, or on all signers of its domain.
func (g *guard) may(ctx context.Context, who user.Info, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		decision, _, err := g.authz.Authorize(ctx, authorizer.AttributesRecord{
			User: who, Verb: verb, Name: name, APIGroup: certificatesv1.GroupName, APIVersion: "*", Resource: "signers", ResourceRequest: true,
		})
		if err == nil && decision == authorizer.DecisionAllow {
			return true
		}
	}
	return false
}

// Approval lets those approve and deny requests who may "approve" for their signer.
func Approval() admission.Interface {
	return &guard{Handler: admission.NewHandler(admission.Update), check: approving}
}

func approving(ctx context.Context, g *guard, a admission.Attributes) error {
	if !admit.On(a, requestResource, "approval") {
		return nil
	}
	old, ok := a.GetOldObject().(*signingRequest) // the new one may name another signer, which validation refuses
	if !ok {
		return admission.NewForbidden(a, fmt.Errorf("expected type CertificateSigningRequest, got: %T", a.GetOldObject()))
	}
	if !g.may(ctx, a.GetUserInfo(), "approve", old.Spec.SignerName) {
		return admission.NewForbidden(a, fmt.Errorf("user not permitted to approve requests with signerName %q", old.Spec.SignerName))
	}
	return nil
}

// Signing lets those write the status of requests who may "sign" for their signer.
func Signing() admission.Interface {
	return &guard{Handler: admission.NewHandler(admission.Update), check: signing}
}

func signing(ctx context.Context, g *guard, a admission.Attributes) error {
	if admit.On(a, podRequestResource, "status") {
		return podSigning(ctx, g, a)
	}
	now, ok := admit.Object[*signingRequest](a, requestResource, "status")
	if !ok {
		return nil
	}
	old, ok := a.GetOldObject().(*signingRequest)
	if !ok {
		return admission.NewForbidden(a, fmt.Errorf("expected type CertificateSigningRequest, got: %T", a.GetOldObject()))
	}
	if apiequality.Semantic.DeepEqual(old.Status, now.Status) {
		return nil
	}
	if !g.may(ctx, a.GetUserInfo(), "sign", old.Spec.SignerName) {
		return admission.NewForbidden(a, fmt.Errorf("user not permitted to sign requests with signerName %q", old.Spec.SignerName))
	}
	return nil
}

func podSigning(ctx context.Context, g *guard, a admission.Attributes) error {
	now, ok := a.GetObject().(*podRequest)
	old, was := a.GetOldObject().(*podRequest)
	if !ok || !was || apiequality.Semantic.DeepEqual(old.Status, now.Status) {
		return nil
	}
	if who := a.GetUserInfo(); !g.may(ctx, who, "sign", old.Spec.SignerName) {
		return admission.NewForbidden(a, fmt.Errorf("User %q is not permitted to \"sign\" for signer %q", who.GetName(), old.Spec.SignerName))
	}
	return nil
}

// Attest lets those write a signer's trust bundles who may "attest" for it.
func Attest() admission.Interface {
	return &guard{Handler: admission.NewHandler(admission.Create, admission.Update), check: attesting}
}

func attesting(ctx context.Context, g *guard, a admission.Attributes) error {
	b, ok := admit.Object[*trustBundle](a, bundleResource)
	if !ok || b.Spec.SignerName == "" {
		return nil
	}
	if old, ok := a.GetOldObject().(*trustBundle); ok && onlyForCollector(b, old) {
		return nil
	}
	if !g.may(ctx, a.GetUserInfo(), "attest", b.Spec.SignerName) {
		return admission.NewForbidden(a, fmt.Errorf("user not permitted to attest for signerName %q", b.Spec.SignerName))
	}
	return nil
}

// onlyForCollector: nothing but owners and finalizers changes.
func onlyForCollector(b, old *trustBundle) bool {
	same := b.DeepCopy()
	same.OwnerReferences, same.Finalizers, same.ManagedFields = old.OwnerReferences, old.Finalizers, old.ManagedFields
	return apiequality.Semantic.DeepEqual(same, old)
}

// SubjectRestriction refuses requests for the administrators' group from the signer of API clients.
func SubjectRestriction() admission.Interface {
	return &guard{Handler: admission.NewHandler(admission.Create), check: restrictSubject, authz: authorizer.AuthorizerFunc(nil)}
}

func restrictSubject(_ context.Context, _ *guard, a admission.Attributes) error {
	r, ok := admit.Object[*signingRequest](a, requestResource)
	if !ok || r.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	parsed, err := Parse(r.Spec.Request)
	if err != nil {
		return admission.NewForbidden(a, fmt.Errorf("failed to parse CSR: %v", err))
	}
	if slices.Contains(parsed.Subject.Organization, user.SystemPrivilegedGroup) {
		return admission.NewForbidden(a, fmt.Errorf("use of %s signer with system:masters group is not allowed", r.Spec.SignerName))
	}
	return nil
}
