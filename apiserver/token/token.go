// Package token makes and checks the tokens of service accounts: JSON Web Tokens (RFC 7519), signed with the
// cluster's own key, bound to an account and where asked to a pod, secret or node.
package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
)

// Issuer is the iss claim, and the audience of tokens for the API server itself.
const Issuer = "https://kubernetes.default.svc.cluster.local"

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

// SetWarnAfter notes when the holder ought to have asked for a new token: uses after that are warned about.
func (b *Binding) SetWarnAfter(t time.Time) { b.WarnAfter = jwt.NewNumericDate(t) }

type claims struct {
	jwt.RegisteredClaims
	Binding Binding `json:"kubernetes.io"`
}

// Maker signs tokens.
type Maker struct{ key *ecdsa.PrivateKey }

// NewMaker signs with key (P-256).
func NewMaker(key *ecdsa.PrivateKey) *Maker { return &Maker{key} }

// Make signs a token for audiences (Issuer when there are none) that ends after valid.
func (m *Maker) Make(b Binding, audiences []string, valid time.Duration) (text string, expires time.Time, err error) {
	if len(audiences) == 0 {
		audiences = []string{Issuer}
	}
	now := time.Now()
	expires = now.Add(valid)
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: Issuer, Subject: username(b), Audience: audiences, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Binding: b,
	})
	t.Header["kid"] = KeyID(&m.key.PublicKey)
	text, err = t.SignedString(m.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token of %s: %w", username(b), err)
	}
	return text, expires.Truncate(time.Second), nil
}

func username(b Binding) string {
	return "system:serviceaccount:" + b.Namespace + ":" + b.ServiceAccount.Name
}

// KeyID names a public key: the hash of its DER form.
func KeyID(key *ecdsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// JWK is a public key as relying parties read it (RFC 7517).
type JWK struct {
	Use       string `json:"use"`
	KeyType   string `json:"kty"`
	KeyID     string `json:"kid"`
	Curve     string `json:"crv"`
	Algorithm string `json:"alg"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

// PublicJWK describes key, which is on P-256.
func PublicJWK(key *ecdsa.PublicKey) (JWK, error) {
	if key.Curve != elliptic.P256() {
		return JWK{}, fmt.Errorf("key is on %s, not P-256", key.Curve.Params().Name)
	}
	point, err := key.Bytes() // 0x04, X, Y
	if err != nil {
		return JWK{}, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	return JWK{"sig", "EC", KeyID(key), "P-256", "ES256", encode(point[1:33]), encode(point[33:])}, nil
}
