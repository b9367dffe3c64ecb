package serviceaccount

import (
	"context"
	"fmt"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"dhow/api/check"
	"dhow/apiserver/token"
)

// Issuer signs tokens; token.Maker does.
type Issuer interface {
	// Make signs a token for audiences, the API server's when there are none.
	Make(binding token.Binding, audiences []string, valid time.Duration) (token.Signed, error)
	// Audiences are the API server's.
	Audiences() []string
}

// tokens is serviceaccounts/token: it makes tokens that end, and that hold only while what they are bound to lives.
type tokens struct {
	accounts rest.Getter
	config   Config
}

var requestKind = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")

func (*tokens) New() runtime.Object { return &authenticationv1.TokenRequest{} }
func (*tokens) Destroy()            {}
func (*tokens) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return requestKind
}
func (*tokens) PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate() bool { return true }

// Tokens of pods may live longer than asked for clients that read them once only: clients are warned first.
const (
	warnOnlySeconds = 3607
	extendedSeconds = 365 * 24 * 3600
)

// Create makes one token for the account that is named.
func (t *tokens) Create(ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc,
	_ *metav1.CreateOptions) (runtime.Object, error) {
	asked, ok := obj.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest: %T", obj))
	}
	namespace, _ := request.NamespaceFrom(ctx)
	account, err := t.account(ctx, namespace, name, asked)
	if err != nil {
		return nil, err
	}
	t.fill(asked, account)
	if errs := checkRequest(asked); len(errs) > 0 {
		return nil, apierrors.NewInvalid(requestKind.GroupKind(), "", errs)
	}
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	binding, err := t.bind(ctx, account, asked.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	return t.sign(ctx, asked, binding)
}

func (t *tokens) account(ctx context.Context, namespace, name string, asked *authenticationv1.TokenRequest) (*corev1.ServiceAccount, error) {
	var l check.List
	if asked.Name != "" && asked.Name != name {
		l.Invalid(field.NewPath("metadata", "name"), asked.Name, "must match the service account name if specified")
	}
	if asked.Namespace != "" && asked.Namespace != namespace {
		l.Invalid(field.NewPath("metadata", "namespace"), asked.Namespace, "must match the service account namespace if specified")
	}
	if len(l.Errors()) > 0 {
		return nil, apierrors.NewInvalid(requestKind.GroupKind(), name, l.Errors())
	}
	obj, err := t.accounts.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	account := obj.(*corev1.ServiceAccount)
	if asked.UID != "" && asked.UID != account.UID {
		return nil, conflict(requestKind.Kind, name, fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", asked.UID, account.UID))
	}
	return account, nil
}

func conflict(kind, name string, err error) error {
	return apierrors.NewConflict(schema.GroupResource{Group: requestKind.Group, Resource: kind}, name, err)
}

func (t *tokens) fill(asked *authenticationv1.TokenRequest, account *corev1.ServiceAccount) {
	asked.Name, asked.Namespace, asked.UID = account.Name, account.Namespace, account.UID
	asked.CreationTimestamp = metav1.Now()
	asked.Status = authenticationv1.TokenRequestStatus{}
	if len(asked.Spec.Audiences) == 0 {
		asked.Spec.Audiences = t.config.Issuer.Audiences()
	}
	if asked.Spec.ExpirationSeconds == nil {
		hour := int64(3600)
		asked.Spec.ExpirationSeconds = &hour
	}
}

func checkRequest(asked *authenticationv1.TokenRequest) field.ErrorList {
	var l check.List
	at, seconds := field.NewPath("spec", "expirationSeconds"), *asked.Spec.ExpirationSeconds
	if seconds < 600 {
		l.Invalid(at, seconds, "may not specify a duration less than 10 minutes")
	}
	if seconds > 1<<32 {
		l.Invalid(at, seconds, "may not specify a duration larger than 2^32 seconds")
	}
	return l.Errors()
}

// bind says what must live for the token to hold.
func (t *tokens) bind(ctx context.Context, account *corev1.ServiceAccount, ref *authenticationv1.BoundObjectReference) (token.Binding, error) {
	b := token.Binding{Namespace: account.Namespace, ServiceAccount: token.Ref{Name: account.Name, UID: account.UID}}
	if ref == nil {
		return b, nil
	}
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	var bound *token.Ref
	var err error
	switch {
	case kind.Group == "" && kind.Kind == "Pod":
		bound, err = t.bindPod(ctx, &b, ref.Name)
		b.Pod = bound
	case kind.Group == "" && kind.Kind == "Node":
		bound, err = t.nodeRef(ctx, ref.Name)
		b.Node = bound
	case kind.Group == "" && kind.Kind == "Secret":
		secret, getErr := t.config.Client().CoreV1().Secrets(account.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err = getErr; err == nil {
			bound = &token.Ref{Name: secret.Name, UID: secret.UID}
			b.Secret = bound
		}
	default:
		err = apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", kind))
	}
	if err != nil {
		return b, err
	}
	if ref.UID != "" && ref.UID != bound.UID {
		return b, conflict(kind.Kind, ref.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	return b, nil
}

// bindPod also names the pod's node.
func (t *tokens) bindPod(ctx context.Context, b *token.Binding, name string) (*token.Ref, error) {
	pod, err := t.config.Client().CoreV1().Pods(b.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if pod.Spec.ServiceAccountName != b.ServiceAccount.Name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", b.ServiceAccount.Name))
	}
	if pod.Spec.NodeName != "" {
		node, err := t.nodeRef(ctx, pod.Spec.NodeName)
		switch {
		case apierrors.IsNotFound(err):
			node = &token.Ref{Name: pod.Spec.NodeName}
		case err != nil:
			return nil, apierrors.NewInternalError(err)
		}
		b.Node = node
	}
	return &token.Ref{Name: pod.Name, UID: pod.UID}, nil
}

func (t *tokens) nodeRef(ctx context.Context, name string) (*token.Ref, error) {
	node, err := t.config.Client().CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return &token.Ref{Name: name, UID: types.UID(node.UID)}, nil
}

func (t *tokens) sign(ctx context.Context, asked *authenticationv1.TokenRequest, b token.Binding) (runtime.Object, error) {
	seconds := asked.Spec.ExpirationSeconds
	if most := int64(t.config.MaxExpiration / time.Second); most > 0 && *seconds > most {
		warning.AddWarning(ctx, "", fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds", *seconds, most))
		*seconds = most
	}
	lives := *seconds
	if t.extends(asked, b) {
		b.SetWarnAfter(asked.CreationTimestamp.Add(warnOnlySeconds * time.Second))
		lives = extendedSeconds
	}
	made, err := t.config.Issuer.Make(b, asked.Spec.Audiences, time.Duration(lives)*time.Second)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("failed to generate token: %w", err))
	}
	audit.AddAuditAnnotation(ctx, serviceaccount.IssuedCredentialIDAuditAnnotationKey, "JTI="+made.ID)
	asked.Status = authenticationv1.TokenRequestStatus{
		Token: made.Text,
		// Also of an extended token: its holder is to ask for another in time.
		ExpirationTimestamp: metav1.NewTime(asked.CreationTimestamp.Add(time.Duration(*seconds) * time.Second)),
	}
	return asked, nil
}

// extends: the token is one that every pod gets, for the API server.
func (t *tokens) extends(asked *authenticationv1.TokenRequest, b token.Binding) bool {
	own := t.config.Issuer.Audiences()
	return !t.config.NoExtension && b.Pod != nil && *asked.Spec.ExpirationSeconds == warnOnlySeconds &&
		!slices.ContainsFunc(asked.Spec.Audiences, func(a string) bool { return !slices.Contains(own, a) })
}
