// Package token makes and checks the tokens of service accounts: JSON Web Tokens (RFC 7519), signed with the
// cluster's own key, bound to an account and where asked to a pod, secret or node.
package token

import (
	"crypto"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"dhow/identity"
)

// Issuer is the iss claim of new tokens, and their audience when they are for the API server itself, unless the
// administrator has chosen others.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Options are what an administrator chooses of tokens, by upstream's flags.
type Options struct {
	// Issuers are whose tokens are believed; the first makes them. Issuer if there are none.
	Issuers []string
	// Audiences are the API server's; its issuers if there are none.
	Audiences []string
	// JWKSURI is where others find the public keys; at this server if "".
	JWKSURI string
	// MaxExpiration cuts the life of tokens that are asked for; 0 for no limit.
	MaxExpiration time.Duration
	// NoExtension lets the tokens of pods end when they say, though their clients may not read them again.
	NoExtension bool
}

// Complete fills in what was left open.
func (o Options) Complete() Options {
	if len(o.Issuers) == 0 {
		o.Issuers = []string{Issuer}
	}
	if len(o.Audiences) == 0 {
		o.Audiences = o.Issuers
	}
	return o
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	var all []error
	seen := map[string]bool{}
	for _, issuer := range o.Issuers {
		_, err := url.Parse(issuer)
		switch {
		case issuer == "":
			all = append(all, errors.New("--service-account-issuer: must not be empty"))
		case strings.Contains(issuer, ":") && err != nil:
			all = append(all, fmt.Errorf("--service-account-issuer %q: contains a ':' but is no URL: %w", issuer, err))
		case seen[issuer]:
			all = append(all, fmt.Errorf("--service-account-issuer %q: given twice", issuer))
		}
		seen[issuer] = true
	}
	if o.JWKSURI != "" {
		if u, err := url.Parse(o.JWKSURI); err != nil || u.Scheme != "https" {
			all = append(all, fmt.Errorf("--service-account-jwks-uri %q: must be an https URL", o.JWKSURI))
		}
	}
	if o.MaxExpiration != 0 && (o.MaxExpiration < time.Hour || o.MaxExpiration > 1<<32*time.Second) {
		all = append(all, fmt.Errorf("--service-account-max-token-expiration %s: must be between 1 hour and 2^32 seconds", o.MaxExpiration))
	}
	return errors.Join(all...)
}

// Ref names an object as it was when a token was bound to it.
type Ref struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// Binding is the private claim of Kubernetes: whose token it is, and what must live for it to hold.
type Binding struct {
	Namespace      string           `json:"namespace"`
	ServiceAccount Ref              `json:"serviceaccount"`
	Pod            *Ref             `json:"pod,omitempty"`
	Secret         *Ref             `json:"secret,omitempty"`
	Node           *Ref             `json:"node,omitempty"`
	WarnAfter      *jwt.NumericDate `json:"warnafter,omitempty"`
}

// SetWarnAfter notes when the holder ought to have asked for a new token: uses after that are noted in the audit log.
func (b *Binding) SetWarnAfter(t time.Time) { b.WarnAfter = jwt.NewNumericDate(t) }

// claims are those of tokens that end.
type claims struct {
	jwt.RegisteredClaims
	Binding Binding `json:"kubernetes.io"`
}

// Signed is a token.
type Signed struct {
	Text    string
	Expires time.Time
	// ID is the jti claim, by which audit logs name the token.
	ID string
}

// Maker signs tokens.
type Maker struct {
	keys      *identity.ServiceAccountKeys
	issuer    string
	audiences []string
}

// NewMaker signs with the key that keys say signs now.
func NewMaker(keys *identity.ServiceAccountKeys, o Options) *Maker {
	o = o.Complete()
	return &Maker{keys, o.Issuers[0], o.Audiences}
}

// Audiences are those of the API server.
func (m *Maker) Audiences() []string { return m.audiences }

// Make signs a token for audiences (the API server's when there are none) that ends after valid.
func (m *Maker) Make(b Binding, audiences []string, valid time.Duration) (Signed, error) {
	if len(audiences) == 0 {
		audiences = m.audiences
	}
	now := time.Now()
	made := Signed{Expires: now.Add(valid).Truncate(time.Second), ID: uuid.NewString()}
	subject := serviceaccount.MakeUsername(b.Namespace, b.ServiceAccount.Name)
	var err error
	made.Text, err = m.sign(subject, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: m.issuer, Subject: subject, Audience: audiences, ID: made.ID,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(valid)),
		},
		Binding: b,
	})
	return made, err
}

// MakeLegacy signs a token without an end, which holds as long as the secret that it is kept in.
func (m *Maker) MakeLegacy(namespace string, account Ref, secret string) (string, error) {
	subject := serviceaccount.MakeUsername(namespace, account.Name)
	return m.sign(subject, legacyClaims{
		RegisteredClaims: jwt.RegisteredClaims{Issuer: legacyIssuer, Subject: subject},
		Namespace:        namespace, Name: account.Name, UID: account.UID, Secret: secret,
	})
}

func (m *Maker) sign(subject string, c jwt.Claims) (string, error) {
	key, id := m.keys.Signer()
	method, err := methodOf(key.Public())
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(method, c)
	t.Header["kid"] = id
	text, err := t.SignedString(crypto.PrivateKey(key))
	if err != nil {
		return "", fmt.Errorf("sign token of %s: %w", subject, err)
	}
	return text, nil
}
