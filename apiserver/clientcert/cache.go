// Package clientcert remembers for a moment whom client certificates stand for, so that not every request on a
// connection verifies the same signatures again.
package clientcert

import (
	"crypto/sha256"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/utils/lru"
)

const (
	// remember is how long an answer holds, as the API server's cache of tokens does.
	remember = 10 * time.Second
	// most certificates at a time.
	most = 4096
)

// Cache is an authenticator of certificates in front of another.
type Cache struct {
	verify  authenticator.Request
	answers *lru.Cache
}

// New remembers what verify answers. Only requests with a certificate reach it; refusals are not remembered.
func New(verify authenticator.Request) *Cache {
	return &Cache{verify: verify, answers: lru.New(most)}
}

// answer is immutable.
type answer struct {
	response *authenticator.Response
	until    time.Time
}

// AuthenticateRequest says who holds the connection's certificate.
func (c *Cache) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	key, now := chain(r), time.Now()
	if known, ok := c.answers.Get(key); ok && now.Before(known.(answer).until) {
		return known.(answer).response, true, nil
	}
	response, ok, err := c.verify.AuthenticateRequest(r)
	if ok && err == nil {
		c.answers.Add(key, answer{response, earlier(now.Add(remember), r.TLS.PeerCertificates[0].NotAfter)})
	}
	return response, ok, err
}

// chain tells apart all that a client has sent: what stands behind the first certificate decides too.
func chain(r *http.Request) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, cert := range r.TLS.PeerCertificates {
		h.Write(cert.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
