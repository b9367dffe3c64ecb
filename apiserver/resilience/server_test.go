package resilience

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/identity"
	"dhow/store"
)

// bare are kinds without rules, enough to exercise the server.
func bare() []apiserver.Kind {
	return []apiserver.Kind{
		apiserver.Define[*corev1.Namespace, *corev1.NamespaceList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Namespace", Resource: "namespaces", Cluster: true}, apiserver.Rules[*corev1.Namespace]{HasStatus: true}),
		apiserver.Define[*corev1.ConfigMap, *corev1.ConfigMapList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "ConfigMap", Resource: "configmaps"}, apiserver.Rules[*corev1.ConfigMap]{}),
		apiserver.Define[*corev1.ServiceAccount, *corev1.ServiceAccountList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "ServiceAccount", Resource: "serviceaccounts"}, apiserver.Rules[*corev1.ServiceAccount]{}),
		apiserver.Define[*corev1.Pod, *corev1.PodList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Pod", Resource: "pods"}, apiserver.Rules[*corev1.Pod]{HasStatus: true}),
		apiserver.Define[*corev1.Secret, *corev1.SecretList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Secret", Resource: "secrets"}, apiserver.Rules[*corev1.Secret]{}),
		apiserver.Define[*corev1.Node, *corev1.NodeList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Node", Resource: "nodes", Cluster: true}, apiserver.Rules[*corev1.Node]{HasStatus: true}),
	}
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"a": value}}
}

func create(t testing.TB, c *apiservertest.Cluster, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap(name, "1"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// opened is a store on dir that ends with the test, after the server on it.
func opened(t testing.TB, config store.Config) *store.Store {
	t.Helper()
	db, err := store.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// serve runs a server with data and keys in dir at address, for as long as do takes: the next one there is the same to
// its clients.
func serve(t *testing.T, dir, address string, edit func(*apiserver.Config), do func(*testing.T, *apiservertest.Cluster)) {
	t.Helper()
	good := t.Run("server", func(t *testing.T) {
		id, err := identity.Open(filepath.Join(dir, "pki"))
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		db := opened(t, store.Config{Dir: filepath.Join(dir, "etcd")})
		do(t, apiservertest.Start(t, bare(), func(c *apiserver.Config) {
			c.Listener.Close()
			c.Listener, c.Identity, c.Store = listener, id, db
			if edit != nil {
				edit(c)
			}
		}))
	})
	if !good {
		t.FailNow()
	}
}

// httpClient speaks as config's user, over one protocol if given.
func httpClient(t testing.TB, config *restclient.Config, protocols ...string) *http.Client {
	t.Helper()
	own := restclient.CopyConfig(config)
	own.TLSClientConfig.NextProtos = protocols
	client, err := restclient.HTTPClientFor(own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

const mapsPath = "/api/v1/namespaces/default/configmaps"

var createOptions = metav1.CreateOptions{}

// reply is what a request was answered.
type reply struct {
	code   int
	header http.Header
	body   string
	status metav1.Status // if the body is one
}

func do(t testing.TB, client *http.Client, method, url, contentType, body string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	r := reply{code: response.StatusCode, header: response.Header, body: string(text)}
	if err := json.Unmarshal(text, &r.status); err != nil || r.status.Kind != "Status" {
		r.status = metav1.Status{}
	}
	return r
}

// within polls until done, for longer than apiservertest.Eventually does.
func within(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline, tick := time.After(limit), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s still not so: %s", limit, what)
		}
	}
}
