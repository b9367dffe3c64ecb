package resilience

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/store"
)

func TestAPageOfAListThatIsForgottenExpiresWithATokenThatGoesOn(t *testing.T) {
	t.Parallel() // it waits for a while
	db := opened(t, store.Config{Dir: filepath.Join(t.TempDir(), "etcd"), CompactEvery: 200 * time.Millisecond})
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) { config.Store = db })
	create(t, c, "a", "b", "c", "d")
	maps := c.Client.CoreV1().ConfigMaps("default")
	first, err := maps.List(c.Context, metav1.ListOptions{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	within(t, 3*time.Minute, "the first page is forgotten", func() bool {
		n++
		create(t, c, fmt.Sprintf("z-%d", n)) // compaction follows changes
		_, err = maps.List(c.Context, metav1.ListOptions{Limit: 2, Continue: first.Continue})
		return err != nil
	})
	status, ok := err.(apierrors.APIStatus)
	if !apierrors.IsResourceExpired(err) || !ok || status.Status().Code != http.StatusGone {
		t.Fatalf("the second page: %v", err)
	}
	again := status.Status().Continue
	rest, err := maps.List(c.Context, metav1.ListOptions{Continue: again})
	if err != nil || len(rest.Items) != n+2 || rest.Items[0].Name != "c" {
		t.Errorf("with the token of the error: %v, %d items, want %d", err, len(rest.Items), n+2)
	}
	exact := metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}
	if _, err := maps.List(c.Context, exact); !apierrors.IsResourceExpired(err) {
		t.Errorf("the list as it was: %v", err)
	}
}

// token is a continue token that says so.
func token(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }

func TestContinueTokensThatTheServerDidNotMakeAreBad(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	create(t, c, "a", "b", "c")
	if _, err := c.Client.CoreV1().Secrets("default").List(c.Context, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	client := httpClient(t, c.Config)
	for _, test := range []struct {
		name, token string
	}{
		{"garbage", "nonsense"}, {"not base64", "%%%"}, {"not JSON", token("{")}, {"nothing", token("{}")}, {"an array", token("[]")},
		{"another version", token(`{"v":"meta.k8s.io/v2","rv":1,"start":"a"}`)},
		{"no version of the list", token(`{"v":"meta.k8s.io/v1","start":"a"}`)},
		{"no start", token(`{"v":"meta.k8s.io/v1","rv":1}`)},
		{"a path out of the resource", token(`{"v":"meta.k8s.io/v1","rv":1,"start":"../../secrets/default/a"}`)},
		{"a path to another resource", token(`{"v":"meta.k8s.io/v1","rv":1,"start":"/registry/secrets/../a"}`)},
		{"a path with a dot", token(`{"v":"meta.k8s.io/v1","rv":1,"start":"./a"}`)},
		{"huge", strings.Repeat("A", 100<<10)},
	} {
		r := do(t, client, http.MethodGet, c.Config.Host+mapsPath+"?limit=1&continue="+url.QueryEscape(test.token), "", "")
		if r.code != http.StatusBadRequest || r.status.Reason != metav1.StatusReasonBadRequest {
			t.Errorf("%s: status %d %s", test.name, r.code, r.body)
		}
	}
}

func TestATokenOfAnotherListShowsNothingOfIt(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	create(t, c, "a", "b", "c")
	client := httpClient(t, c.Config)
	maps, err := c.Client.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/namespaces/default/secrets", "/api/v1/namespaces/other/configmaps", "/api/v1/nodes"} {
		r := do(t, client, http.MethodGet, c.Config.Host+path+"?limit=5&continue="+url.QueryEscape(maps.Continue), "", "")
		if r.code >= 500 || strings.Contains(r.body, `"name":"b"`) {
			t.Errorf("%s: status %d %s", path, r.code, r.body)
		}
	}
}

func TestVersionsOfListsAreMatchedAsAsked(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	create(t, c, "a")
	then, err := c.Client.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	create(t, c, "b")
	apiservertest.Eventually(t, func() bool { // what may be old comes from the watch cache
		cached, err := c.Client.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{ResourceVersion: "0"})
		return err == nil && len(cached.Items) == 2
	})
	client, v := httpClient(t, c.Config), then.ResourceVersion
	for query, want := range map[string]int{
		"": 2,
		"resourceVersion=" + v + "&resourceVersionMatch=Exact":                2 - 1,
		"resourceVersion=" + v + "&resourceVersionMatch=NotOlderThan":         2,
		"resourceVersion=" + v + "&resourceVersionMatch=NotOlderThan&limit=1": 1,
		"resourceVersion=" + v + "&resourceVersionMatch=Exact&limit=1":        1,
		"resourceVersion=0&resourceVersionMatch=NotOlderThan":                 2,
		"resourceVersion=0&resourceVersionMatch=Exact":                        -http.StatusUnprocessableEntity,
		"resourceVersionMatch=Exact":                                          -http.StatusUnprocessableEntity,
		"resourceVersionMatch=NotOlderThan":                                   -http.StatusUnprocessableEntity,
		"resourceVersion=" + v + "&resourceVersionMatch=Newest":               -http.StatusUnprocessableEntity,
		"resourceVersion=abc":                                                 -http.StatusBadRequest,
		"resourceVersion=-1":                                                  -http.StatusBadRequest,
		"limit=x":                                                             -http.StatusBadRequest,
		"continue=a&resourceVersionMatch=Exact":                               -http.StatusUnprocessableEntity,
		"sendInitialEvents=true":                                              -http.StatusUnprocessableEntity,
	} {
		r := do(t, client, http.MethodGet, c.Config.Host+mapsPath+"?"+query, "", "")
		if want < 0 && r.code != -want {
			t.Errorf("%q: status %d, want %d: %s", query, r.code, -want, r.body)
		}
		if items := strings.Count(r.body, `"uid"`); want > 0 && (r.code != http.StatusOK || items != want) {
			t.Errorf("%q: status %d with %d items, want %d", query, r.code, items, want)
		}
	}
}

func TestAVersionThatIsStillToComeIsWaitedForAndThenAskedForAgain(t *testing.T) {
	t.Parallel() // it waits for a while
	c := apiservertest.Start(t, bare(), nil)
	client := httpClient(t, c.Config)
	begin := time.Now()
	r := do(t, client, http.MethodGet, c.Config.Host+mapsPath+"?resourceVersion=1000000&resourceVersionMatch=NotOlderThan", "", "")
	if r.code != http.StatusGatewayTimeout || r.status.Details == nil || r.status.Details.RetryAfterSeconds < 1 ||
		!strings.Contains(r.status.Message, "Too large resource version") {
		t.Errorf("after %s: status %d %v: %s", time.Since(begin), r.code, r.header, r.body)
	}
}

func TestAWatchFromATimeThatIsForgottenIsToldSo(t *testing.T) {
	dir, address := t.TempDir(), apiservertest.FreeAddress(t)
	old := ""
	serve(t, dir, address, nil, func(t *testing.T, c *apiservertest.Cluster) {
		create(t, c, "a")
		list, err := c.Client.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		old = list.ResourceVersion
		create(t, c, "b", "c", "d")
	})
	serve(t, dir, address, nil, func(t *testing.T, c *apiservertest.Cluster) { // its cache begins here
		w, err := c.Client.CoreV1().ConfigMaps("default").Watch(c.Context, metav1.ListOptions{ResourceVersion: old})
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return // the whole answer says so
		}
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		e := <-w.ResultChan()
		if err := apierrors.FromObject(e.Object); e.Type != watch.Error || !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			t.Errorf("the first event: %s %v", e.Type, err)
		}
	})
}
