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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/server/healthz"

	"dhow/apiserver"
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
	for _, want := range []string{
		"[+]ping ok", "[+]etcd ok", "[+]informer-sync ok", "readyz check passed", "[+]poststarthook/start-system-namespaces-controller ok",
		"[+]poststarthook/start-apiserver-admission-initializer ok", "[+]poststarthook/bootstrap-controller ok",
		"[+]poststarthook/start-cluster-authentication-info-controller ok", "[+]poststarthook/storage-readiness ok",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("readyz says %s, not %s", text, want)
		}
	}
}

func TestReadinessWaitsForWhatOtherPartsReach(t *testing.T) {
	later := apiserver.NewMilestone("poststarthook/later")
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) { config.Milestones = []*apiserver.Milestone{later} })
	if status, text := askAs(t, c, "", "/readyz"); status != http.StatusInternalServerError || !strings.Contains(text, "[-]poststarthook/later failed") {
		t.Errorf("before: %d, %s", status, text)
	}
	later.Reach()
	if status, text := askAs(t, c, "", "/readyz"); status != http.StatusOK {
		t.Errorf("afterwards: %d, %s", status, text)
	}
}

func TestComponentStatusesTellOfTheControlPlane(t *testing.T) {
	scheduler := apiserver.NewMilestone("scheduler")
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) { config.Components = []healthz.HealthChecker{scheduler} })
	healthy := func() string {
		t.Helper()
		list, err := c.Client.CoreV1().ComponentStatuses().List(c.Context, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, i := range list.Items {
			all = append(all, i.Name+"="+string(i.Conditions[0].Status))
		}
		return strings.Join(all, " ")
	}
	if got := healthy(); got != "etcd-0=True scheduler=False" {
		t.Errorf("before the scheduler runs: %s", got)
	}
	scheduler.Reach()
	if got := healthy(); got != "etcd-0=True scheduler=True" {
		t.Errorf("when the scheduler runs: %s", got)
	}
	if one, err := c.Client.CoreV1().ComponentStatuses().Get(c.Context, "scheduler", metav1.GetOptions{}); err != nil || one.Conditions[0].Message != "ok" {
		t.Errorf("%v, %v", one, err)
	}
	if _, err := c.Client.CoreV1().ComponentStatuses().Get(c.Context, "cook", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("of what is not there: %v", err)
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
