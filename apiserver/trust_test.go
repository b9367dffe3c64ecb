package apiserver_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/identity"
)

// authority is one of its own: it stands for a proxy's, or for another organization's.
func authority(t *testing.T) *identity.Identity {
	t.Helper()
	id, err := identity.Open(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// put replaces a file as editors do.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func anybodyAsks(informers.SharedInformerFactory) (authorizer.Authorizer, error) {
	return readers{}, nil
}

// whoIs says who the server takes a request with certificate and headers for.
func whoIs(t *testing.T, c *apiservertest.Cluster, cert, key []byte, headers http.Header) authenticationv1.UserInfo {
	t.Helper()
	config, err := restclient.TLSConfigFor(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Config.Host+"/apis/authentication.k8s.io/v1/selfsubjectreviews",
		strings.NewReader(`{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = headers.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var review authenticationv1.SelfSubjectReview
	if response.StatusCode == http.StatusUnauthorized {
		return review.Status.UserInfo
	}
	if err := json.NewDecoder(response.Body).Decode(&review); err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo
}

func TestUsersAreWhoATrustedProxySaysTheyAre(t *testing.T) {
	ours, strangers := authority(t), authority(t)
	file := filepath.Join(t.TempDir(), "proxy.crt")
	put(t, file, ours.CA.PEM)
	c := apiservertest.Start(t, bare(), func(c *apiserver.Config) {
		c.Authorizer = anybodyAsks
		h := &c.Authentication.RequestHeader
		h.CAFile, h.AllowedNames = file, []string{"sso"}
		h.UsernameHeaders, h.ExtraPrefixes = []string{"X-Remote-User", "X-User"}, []string{"X-Remote-Extra-"}
	})
	type signer func() (cert, key []byte, err error)
	by := func(id *identity.Identity, name string) signer {
		return func() ([]byte, []byte, error) { return id.Client(name) }
	}
	whole := http.Header{"X-Remote-User": {"ann"}, "X-Remote-Uid": {"7"}, "X-Remote-Group": {"dev", "ops"}, "X-Remote-Extra-Scopes": {"read", "write"}}
	for name, k := range map[string]struct {
		proxy   signer
		headers http.Header
		want    string // nobody if ""
	}{
		"the cluster's own":               {c.Identity.FrontProxyClient, whole, "ann"},
		"the administrator's":             {by(ours, "sso"), whole, "ann"},
		"another header of the name":      {by(ours, "sso"), http.Header{"X-User": {"ben"}}, "ben"},
		"a name that is not allowed":      {by(ours, "other"), whole, ""},
		"a name as allowed, of strangers": {by(strangers, "sso"), whole, ""},
		"no proxy, but a client":          {by(c.Identity, "sso"), whole, "sso"},
		"without a user":                  {by(ours, "sso"), http.Header{"X-Remote-Group": {"system:masters"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cert, key, err := k.proxy()
			if err != nil {
				t.Fatal(err)
			}
			got := whoIs(t, c, cert, key, k.headers)
			if got.Username != k.want {
				t.Fatalf("taken for %+v, want %q", got, k.want)
			}
			if k.want == "ann" && (got.UID != "7" || !slices.Equal(got.Groups, []string{"dev", "ops", "system:authenticated"}) ||
				!slices.Equal(got.Extra["scopes"], []string{"read", "write"})) {
				t.Errorf("taken for %+v", got)
			}
			if k.want == "sso" && (got.UID != "" || slices.Contains(got.Groups, "dev")) {
				t.Errorf("a client's headers are believed: %+v", got)
			}
		})
	}
}

func TestClientAuthoritiesAreFollowedAndToldToOtherServers(t *testing.T) {
	first, second := authority(t), authority(t)
	file := filepath.Join(t.TempDir(), "clients.crt")
	put(t, file, first.CA.PEM)
	c := apiservertest.Start(t, aggregating(), func(c *apiserver.Config) {
		c.Authorizer, c.Authentication.ClientCAFile = anybodyAsks, file
	})
	name := func(id *identity.Identity) (string, error) {
		config := restclient.CopyConfig(c.Config)
		var err error
		if config.CertData, config.KeyData, err = id.Client("ann"); err != nil {
			t.Fatal(err)
		}
		got, err := kubernetes.NewForConfigOrDie(config).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		return got.Status.UserInfo.Username, nil
	}
	if got, err := name(first); got != "ann" || err != nil {
		t.Fatalf("by the authority of the file: %q, %v", got, err)
	}
	if got, err := name(second); !apierrors.IsUnauthorized(err) {
		t.Fatalf("by a strange authority: %q, %v", got, err)
	}
	put(t, file, second.CA.PEM)
	apiservertest.Eventually(t, func() bool { got, err := name(second); return got == "ann" && err == nil })
	if got, err := name(first); !apierrors.IsUnauthorized(err) {
		t.Errorf("by the authority of the file that was: %q, %v", got, err)
	}
	apiservertest.Eventually(t, func() bool {
		cm, err := c.Client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
		return err == nil && strings.Contains(cm.Data["client-ca-file"], strings.TrimSpace(string(second.CA.PEM))) &&
			strings.Contains(cm.Data["client-ca-file"], strings.TrimSpace(string(c.Identity.CA.PEM))) && !strings.Contains(cm.Data["client-ca-file"], strings.TrimSpace(string(first.CA.PEM)))
	})
}
