package apiserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	apimachineryversion "k8s.io/apimachinery/pkg/version"

	"dhow/apiserver/apiservertest"
)

// askAs gets a path over HTTPS, with a bearer token or, if that is empty, without saying who asks.
func askAs(t *testing.T, c *apiservertest.Cluster, token, path string) (status int, body string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.Config.CAData)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(c.Context, http.MethodGet, c.Config.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestStrangersMayAskForHealthAndVersionOnly(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	want := map[string]int{
		"/healthz": 200, "/livez": 200, "/readyz": 200, "/readyz?verbose": 200, "/version": 200,
		"/": 403, "/metrics": 403, "/api": 403, "/apis": 403, "/openapi/v2": 403, "/openapi/v3": 403, "/livez/ping": 403,
		"/api/v1/namespaces": 403, "/.well-known/openid-configuration": 403,
	}
	for path, status := range want {
		if got, _ := askAs(t, c, "", path); got != status {
			t.Errorf("a stranger's %s: status %d, want %d", path, got, status)
		}
	}
}

func TestWrongCredentialsAreRefusedEverywhere(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	for _, path := range []string{"/healthz", "/version", "/api"} {
		if got, _ := askAs(t, c, "nonsense", path); got != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: status %d", path, got)
		}
	}
}

func TestHealthNamesItsParts(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	_, text := askAs(t, c, "", "/readyz?verbose")
	for _, want := range []string{"[+]ping ok", "[+]etcd ok", "[+]informer-sync ok", "readyz check passed"} {
		if !strings.Contains(text, want) {
			t.Errorf("readyz says %s, not %s", text, want)
		}
	}
}

func TestTheVersionIsThatOfTheAPI(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	_, text := askAs(t, c, "", "/version")
	var info apimachineryversion.Info
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^v1\.\d+\.\d+\+dhow$`).MatchString(info.GitVersion) || info.Major != "1" || strings.Contains(text, "$Format") {
		t.Errorf("version is %s", text)
	}
}

func TestMetricsCountRequests(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	text, err := c.Client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(c.Context)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\napiserver_request_total{") {
		t.Error("requests are not counted")
	}
}
