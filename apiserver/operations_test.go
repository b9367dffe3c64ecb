package apiserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/identity"
)

// someFlags are what /flagz shows.
type someFlags map[string]string

func (f someFlags) GetFlagz() map[string]string { return f }

func TestAdministratorsSeeHowTheServerIsDoing(t *testing.T) {
	c := apiservertest.Start(t, bare(), func(c *apiserver.Config) { c.Flags = someFlags{"max-pods": "250"} })
	someone, err := c.Server.Client("jane")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/livez/ping": "ok", "/readyz/etcd": "ok", "/healthz/log": "ok",
		"/livez?verbose&exclude=etcd":          "[+]etcd excluded: ok",
		"/readyz?verbose":                      "[+]poststarthook/storage-object-count-tracker-hook ok",
		"/debug/pprof/":                        "goroutine",
		"/debug/pprof/goroutine?debug=1":       "goroutine profile:",
		"/metrics":                             "apiserver_request_total",
		"/metrics/slis":                        "kubernetes_healthcheck",
		"/statusz":                             "/livez",
		"/flagz":                               "max-pods",
		"/version":                             `"gitVersion"`,
		"/.well-known/openid-configuration":    "jwks_uri",
		"/readyz/poststarthook/no-such-thing?": "",
	} {
		path, query, _ := strings.Cut(path, "?")
		ask := func(client kubernetes.Interface) ([]byte, error) {
			r := client.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", "text/plain, */*")
			for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' }) {
				name, value, _ := strings.Cut(pair, "=")
				r = r.Param(name, value)
			}
			return r.DoRaw(c.Context)
		}
		body, err := ask(c.Client)
		if (err != nil) != (want == "") || !strings.Contains(string(body), want) {
			t.Errorf("%s: %v, without %q", path, err, want)
		}
		if _, err := ask(someone); strings.HasPrefix(path, "/debug") && !apierrors.IsForbidden(err) {
			t.Errorf("%s for somebody: %v", path, err)
		}
	}
}

func TestMetricsAreThoseOfUpstream(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	text, err := c.Client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(c.Context)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"apiserver_request_total", "apiserver_request_duration_seconds_bucket", "apiserver_current_inflight_requests", "apiserver_response_sizes_bucket",
		"apiserver_storage_objects",
		"apiserver_audit_event_total", "authentication_attempts", "authorization_attempts_total", "etcd_request_duration_seconds_bucket",
		"workqueue_depth", "go_goroutines", "process_resident_memory_bytes", "kubernetes_build_info", "kubernetes_feature_enabled",
	} {
		if !strings.Contains(string(text), "\n"+name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
}

func httpsClient(t *testing.T, config *restclient.Config) *http.Client {
	t.Helper()
	client, err := restclient.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestBodiesAndHeadersThatAreTooLargeAreRefused(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, url := httpsClient(t, c.Config), c.Config.Host+"/api/v1/namespaces/default/configmaps"
	body := strings.NewReader(`{"metadata": {"name": "c"}, "data": {"a": "` + strings.Repeat("x", 3<<20) + `"}}`)
	response, err := client.Post(url, "application/json", body)
	if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of more than 3 MiB: %v, %v", response, err)
	}
	one := *c.Config
	one.TLSClientConfig.NextProtos = []string{"http/1.1"}
	request, err := http.NewRequestWithContext(c.Context, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Large", strings.Repeat("x", 2<<20))
	if response, err := httpsClient(t, &one).Do(request); err == nil && response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 2 MiB: status %d", response.StatusCode)
	}
	if response, err := client.Get(url); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %v, %v", response, err)
	}
}

func TestRequestsThatTakeTooLongEnd(t *testing.T) {
	g := newGate()
	g.patient = true
	defer close(g.open)
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Admission, config.Limits = g.plugins, apiserver.DefaultLimits()
		config.Limits.RequestTimeout = 2 * time.Second
	})
	_, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("held"), metav1.CreateOptions{})
	// When the handler has begun to tell of the timeout at the very moment at which it is cut off, its answer breaks off.
	if broken := err != nil && strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()); !apierrors.IsTimeout(err) && !broken {
		t.Errorf("got %v", err)
	}
	apiservertest.Eventually(t, func() bool { // it, too, has two seconds
		_, err := c.Client.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{})
		if err != nil && !apierrors.IsTimeout(err) {
			t.Fatalf("afterwards: %v", err)
		}
		return err == nil
	})
}

// slowClients open connections, say half of something, and stay.
func slowClients(t *testing.T, c *apiservertest.Cluster, count int) {
	t.Helper()
	address := strings.TrimPrefix(c.Config.Host, "https://")
	for range count {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // nobody checks whom it bothers
		if _, err := io.WriteString(secure, "GET /version HTTP/1.1\r\nHost: x\r\nX-Half"); err != nil {
			t.Fatal(err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestSlowClientsHoldUpNobodyAndTakeLittleMemory(t *testing.T) {
	const count = 500
	c := apiservertest.Start(t, bare(), nil)
	before := heap()
	slowClients(t, c, count)
	if _, err := kubernetes.NewForConfigOrDie(c.Config).CoreV1().ConfigMaps("default").Create(c.Context, configMap("c"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if each := (int64(heap()) - int64(before)) / count; each > 200<<10 { // both ends of each are in this process
		t.Errorf("each connection takes %d KB", each>>10)
	}
}

// ownedBy makes a server's keys, address and data those in dir, so that the next one is the same to its clients.
func ownedBy(t *testing.T, dir, address string, edit func(*apiserver.Config)) func(*apiserver.Config) {
	return func(c *apiserver.Config) {
		id, err := identity.Open(filepath.Join(dir, "pki"))
		if err != nil {
			t.Fatal(err)
		}
		c.Listener.Close()
		if c.Listener, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		c.Identity = id
		if edit != nil {
			edit(c)
		}
	}
}

func TestARequestUnderWayFinishesWhenTheServerEnds(t *testing.T) {
	dir, address, g, result, ctx := t.TempDir(), apiservertest.FreeAddress(t), newGate(), make(chan error, 1), t.Context()
	client := kubernetes.NewForConfigOrDie(apiservertest.Admin(t, dir, address))
	t.Run("server", func(t *testing.T) {
		edit := ownedBy(t, dir, address, func(c *apiserver.Config) { c.Admission = g.plugins })
		apiservertest.Start(t, bare(), edit)
		go func() {
			_, err := client.CoreV1().ConfigMaps("default").Create(ctx, configMap("held"), metav1.CreateOptions{})
			result <- err
		}()
		<-g.held
		go func() { // opens once the server has ended to listen
			for conn, err := net.Dial("tcp", address); err == nil; conn, err = net.Dial("tcp", address) {
				conn.Close()
			}
			close(g.open)
		}()
	})
	if err := <-result; err != nil {
		t.Errorf("the request under way: %v", err)
	}
}

func TestInformersGoOnWithoutLossWhenTheServerStartsAnew(t *testing.T) {
	dir, address := t.TempDir(), apiservertest.FreeAddress(t)
	client := kubernetes.NewForConfigOrDie(apiservertest.Admin(t, dir, address))
	factory := informers.NewSharedInformerFactory(client, 0)
	lister := factory.Core().V1().ConfigMaps().Lister()
	factory.Start(t.Context().Done())
	for round := range 3 {
		t.Run("server", func(t *testing.T) {
			serveAt(t, dir, address, func(c *apiservertest.Cluster) {
				for i := range 20 {
					if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap(fmt.Sprintf("c-%d-%d", round, i)), metav1.CreateOptions{}); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
	t.Run("server", func(t *testing.T) {
		serveAt(t, dir, address, func(*apiservertest.Cluster) {
			apiservertest.Eventually(t, func() bool {
				for round := range 3 {
					for i := range 20 {
						if _, err := lister.ConfigMaps("default").Get(fmt.Sprintf("c-%d-%d", round, i)); err != nil {
							return false
						}
					}
				}
				return true
			})
		})
	})
}

func TestAStreamingListEndsWithABookmark(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	for i := range 5 {
		if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap(fmt.Sprintf("c-%d", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all := true
	w, err := c.Client.CoreV1().ConfigMaps("default").Watch(c.Context, metav1.ListOptions{
		SendInitialEvents: &all, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for seen := 0; ; seen++ {
		e := <-w.ResultChan()
		cm := e.Object.(*corev1.ConfigMap)
		if e.Type == watch.Bookmark {
			if cm.Annotations[metav1.InitialEventsAnnotationKey] != "true" || seen != 5 {
				t.Errorf("after %d events: %v", seen, cm.Annotations)
			}
			return
		}
		if e.Type != watch.Added {
			t.Fatalf("event %s of %s", e.Type, cm.Name)
		}
	}
}

func TestListsComeInPagesAndOfAVersion(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	maps := c.Client.CoreV1().ConfigMaps("default")
	for i := range 7 {
		if _, err := maps.Create(c.Context, configMap(fmt.Sprintf("c-%d", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := maps.List(c.Context, metav1.ListOptions{Limit: 3})
	if err != nil || len(first.Items) != 3 || first.Continue == "" || *first.RemainingItemCount != 4 {
		t.Fatalf("the first page: %v, %+v", err, first.ListMeta)
	}
	if err := maps.Delete(c.Context, "c-6", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	rest, err := maps.List(c.Context, metav1.ListOptions{Limit: 10, Continue: first.Continue})
	if err != nil || len(rest.Items) != 4 || rest.ResourceVersion != first.ResourceVersion {
		t.Errorf("the other pages are not of the same version: %v, %d items", err, len(rest.Items))
	}
	exact := metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}
	if then, err := maps.List(c.Context, exact); err != nil || len(then.Items) != 7 {
		t.Errorf("the list as it was: %v", err)
	}
	if now, err := maps.List(c.Context, metav1.ListOptions{}); err != nil || len(now.Items) != 6 {
		t.Errorf("the list as it is: %v", err)
	}
	for _, wrong := range []metav1.ListOptions{
		{Continue: "nonsense"}, {ResourceVersion: "x"}, {ResourceVersionMatch: metav1.ResourceVersionMatchExact},
		{Continue: first.Continue, ResourceVersion: "1"},
	} {
		if _, err := maps.List(c.Context, wrong); !apierrors.IsBadRequest(err) && !apierrors.IsInvalid(err) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}
