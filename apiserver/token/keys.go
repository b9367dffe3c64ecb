package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"dhow/identity"
)

// methodOf is the one algorithm by which a key signs (RFC 7518, section 3.1).
func methodOf(public crypto.PublicKey) (jwt.SigningMethod, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return jwt.SigningMethodRS256, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return jwt.SigningMethodES256, nil
		case elliptic.P384():
			return jwt.SigningMethodES384, nil
		case elliptic.P521():
			return jwt.SigningMethodES512, nil
		}
		return nil, fmt.Errorf("key is on curve %s, not P-256, P-384 or P-521", key.Curve.Params().Name)
	}
	return nil, fmt.Errorf("key is a %T, not RSA or ECDSA", public)
}

// JWK is a public key as relying parties read it (RFC 7517, RFC 7518 section 6).
type JWK struct {
	Use       string `json:"use"`
	KeyType   string `json:"kty"`
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// JWKS are all keys by which tokens may be verified.
type JWKS struct {
	Keys []JWK `json:"keys"`
}

// Algorithms are those of the keys, each once.
func (s JWKS) Algorithms() []string {
	var all []string
	for _, k := range s.Keys {
		all = append(all, k.Algorithm)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// PublicKeys describes keys to those who check tokens elsewhere.
func PublicKeys(keys []identity.ServiceAccountKey) (JWKS, error) {
	set := JWKS{Keys: []JWK{}}
	for _, k := range keys {
		one, err := publicKey(k)
		if err != nil {
			return set, fmt.Errorf("key %s: %w", k.ID, err)
		}
		set.Keys = append(set.Keys, one)
	}
	return set, nil
}

func publicKey(k identity.ServiceAccountKey) (JWK, error) {
	method, err := methodOf(k.Public)
	if err != nil {
		return JWK{}, err
	}
	one := JWK{Use: "sig", KeyID: k.ID, Algorithm: method.Alg()}
	encode := base64.RawURLEncoding.EncodeToString
	switch key := k.Public.(type) {
	case *rsa.PublicKey:
		one.KeyType, one.N, one.E = "RSA", encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 0x04, X, Y
		if err != nil {
			return JWK{}, err
		}
		half := 1 + len(point)/2
		one.KeyType, one.Curve, one.X, one.Y = "EC", key.Curve.Params().Name, encode(point[1:half]), encode(point[half:])
	}
	return one, nil
}
