package token

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Authenticator believes tokens that the key has signed while the account, and what they are bound to, live.
type Authenticator struct {
	key      *ecdsa.PublicKey
	parser   *jwt.Parser
	accounts corelisters.ServiceAccountLister
	pods     corelisters.PodLister
	secrets  corelisters.SecretLister
	nodes    corelisters.NodeLister
}

// NewAuthenticator looks accounts, pods, secrets and nodes up in informers.
func NewAuthenticator(key *ecdsa.PublicKey, informers informers.SharedInformerFactory) *Authenticator {
	core := informers.Core().V1()
	return &Authenticator{
		key:      key,
		parser:   jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(Issuer), jwt.WithExpirationRequired(), jwt.WithLeeway(10*time.Second)),
		accounts: core.ServiceAccounts().Lister(),
		pods:     core.Pods().Lister(),
		secrets:  core.Secrets().Lister(),
		nodes:    core.Nodes().Lister(),
	}
}

var errRevoked = errors.New("token has been invalidated")

// AuthenticateToken implements authenticator.Token.
func (a *Authenticator) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	var c claims
	_, err := a.parser.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return a.key, nil })
	if errors.Is(err, jwt.ErrTokenMalformed) || errors.Is(err, jwt.ErrTokenInvalidIssuer) {
		return nil, false, nil // somebody else's
	}
	if err != nil {
		return nil, false, fmt.Errorf("service account token: %w", err)
	}
	wanted, ok := authenticator.AudiencesFrom(ctx)
	if !ok {
		wanted = authenticator.Audiences{Issuer}
	}
	audiences := authenticator.Audiences(c.Audience).Intersect(wanted)
	if len(audiences) == 0 {
		return nil, false, fmt.Errorf("service account token: audiences %q are not for %q", c.Audience, wanted)
	}
	if err := a.stillHolds(c.Binding); err != nil {
		return nil, false, err
	}
	return &authenticator.Response{User: userInfo(c), Audiences: audiences}, true, nil
}

// stillHolds checks that the account and the bound object are the ones that the token was made for.
func (a *Authenticator) stillHolds(b Binding) error {
	account, err := a.accounts.ServiceAccounts(b.Namespace).Get(b.ServiceAccount.Name)
	if err != nil || account.UID != b.ServiceAccount.UID || gone(account) {
		return errRevoked
	}
	if b.Pod != nil {
		pod, err := a.pods.Pods(b.Namespace).Get(b.Pod.Name)
		if err != nil || pod.UID != b.Pod.UID || gone(pod) {
			return errRevoked
		}
	}
	if b.Secret != nil {
		secret, err := a.secrets.Secrets(b.Namespace).Get(b.Secret.Name)
		if err != nil || secret.UID != b.Secret.UID || gone(secret) {
			return errRevoked
		}
	}
	if b.Node != nil && b.Pod == nil {
		node, err := a.nodes.Get(b.Node.Name)
		if err != nil || node.UID != b.Node.UID {
			return errRevoked
		}
	}
	return nil
}

// gone: deleted for longer than its grace period and a minute of mercy.
func gone(obj metav1.Object) bool {
	t := obj.GetDeletionTimestamp()
	return t != nil && time.Since(t.Time) > time.Minute
}

func userInfo(c claims) *user.DefaultInfo {
	info := &serviceaccount.ServiceAccountInfo{
		Name: c.Binding.ServiceAccount.Name, Namespace: c.Binding.Namespace, UID: string(c.Binding.ServiceAccount.UID),
		CredentialID: "JTI=" + c.ID,
	}
	if p := c.Binding.Pod; p != nil {
		info.PodName, info.PodUID = p.Name, string(p.UID)
	}
	if n := c.Binding.Node; n != nil {
		info.NodeName, info.NodeUID = n.Name, string(n.UID)
	}
	u := info.UserInfo().(*user.DefaultInfo)
	u.Groups = slices.Clone(u.Groups)
	return u
}
