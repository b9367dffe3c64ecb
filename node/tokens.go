package node

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tokenKey is one token file of one pod.
type tokenKey struct {
	pod          types.UID
	volume, path string
}

type heldToken struct {
	text          string
	made, expires time.Time
}

// tokenCache keeps service-account tokens until four fifths of their time, or a day, are over.
type tokenCache struct {
	mu   sync.Mutex
	held map[tokenKey]heldToken
}

func (c *tokenCache) get(key tokenKey, make func() (string, metav1.Time, error)) (string, error) {
	c.mu.Lock()
	t, ok := c.held[key]
	c.mu.Unlock()
	if ok && t.fresh(time.Now()) {
		return t.text, nil
	}
	made := time.Now()
	text, expires, err := make()
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[key] = heldToken{text, made, expires.Time}
	return text, nil
}

func (t heldToken) fresh(now time.Time) bool {
	return now.Before(t.made.Add(t.expires.Sub(t.made)*4/5)) && now.Sub(t.made) < 24*time.Hour
}

func (c *tokenCache) forget(pod types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.held {
		if key.pod == pod {
			delete(c.held, key)
		}
	}
}
