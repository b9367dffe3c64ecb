package clientcert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// counted verifies by a function, and counts.
type counted struct {
	calls  int
	answer func() (*authenticator.Response, bool, error)
}

func (c *counted) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	c.calls++
	return c.answer()
}

func ann() (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: &user.DefaultInfo{Name: "ann"}}, true, nil
}

func request(notAfter time.Time, raw ...string) *http.Request {
	state := &tls.ConnectionState{}
	for _, r := range raw {
		state.PeerCertificates = append(state.PeerCertificates, &x509.Certificate{Raw: []byte(r), NotAfter: notAfter})
	}
	return &http.Request{TLS: state}
}

func TestACertificateIsVerifiedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verify := &counted{answer: ann}
		c, later := New(verify), time.Now().Add(time.Hour)
		for _, step := range []struct {
			what  string
			after time.Duration
			r     *http.Request
			calls int
		}{
			{"first", 0, request(later, "leaf"), 1},
			{"again", remember - 1, request(later, "leaf"), 1},
			{"another chain", 0, request(later, "leaf", "intermediate"), 2},
			{"a while later", 1, request(later, "leaf"), 3},
			{"soon ending", 0, request(time.Now().Add(remember+time.Second), "short"), 4},
			{"ended", 2 * time.Second, request(time.Now().Add(remember+time.Second), "short"), 5},
		} {
			<-time.After(step.after) // of the bubble's time
			response, ok, err := c.AuthenticateRequest(step.r)
			if err != nil || !ok || response.User.GetName() != "ann" {
				t.Errorf("%s: %v, %v, %v", step.what, response, ok, err)
			}
			if verify.calls != step.calls {
				t.Errorf("%s: verified %d times, want %d", step.what, verify.calls, step.calls)
			}
		}
	})
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	verify := &counted{answer: func() (*authenticator.Response, bool, error) { return nil, false, errors.New("unknown authority") }}
	c := New(verify)
	for range 2 {
		if _, ok, err := c.AuthenticateRequest(request(time.Now().Add(time.Hour), "leaf")); ok || err == nil {
			t.Error("a certificate of an unknown authority was taken")
		}
	}
	if verify.calls != 2 {
		t.Errorf("verified %d times", verify.calls)
	}
}

func TestWithoutACertificateNobodyIsAsked(t *testing.T) {
	verify := &counted{answer: ann}
	for _, r := range []*http.Request{{}, request(time.Time{})} {
		if _, ok, err := New(verify).AuthenticateRequest(r); ok || err != nil || verify.calls != 0 {
			t.Error("a request without a certificate got an answer")
		}
	}
}
