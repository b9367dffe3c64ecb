package resilience

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver/apiservertest"
)

// checkBad fails unless a request was done, or refused with a Status that blames the client, in bounded time.
func checkBad(t *testing.T, r reply, begin time.Time) {
	t.Helper()
	if r.code >= 500 && r.code != http.StatusGatewayTimeout { // a version that is still to come is waited for
		t.Errorf("status %d: %s", r.code, r.body)
	}
	if r.code >= 400 && r.status.Status != metav1.StatusFailure {
		t.Errorf("status %d without a Status: %q", r.code, r.body)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %s", took)
	}
}

func FuzzContinueTokens(f *testing.F) {
	c := apiservertest.Start(f, bare(), nil)
	create(f, c, "a", "b", "c")
	client := httpClient(f, c.Config)
	for _, seed := range []string{`{"v":"meta.k8s.io/v1","rv":1,"start":"a"}`, `{"v":"meta.k8s.io/v1","rv":-1,"start":"../"}`, `{"rv":9223372036854775807}`, "null"} {
		f.Add(token(seed), 1)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		query := url.Values{"continue": {text}, "limit": {fmt.Sprint(limit)}}
		begin := time.Now()
		checkBad(t, do(t, client, http.MethodGet, c.Config.Host+mapsPath+"?"+query.Encode(), "", ""), begin)
	})
}

func FuzzSelectors(f *testing.F) {
	c := apiservertest.Start(f, bare(), nil)
	create(f, c, "a", "b")
	client := httpClient(f, c.Config)
	for _, seed := range [][2]string{
		{"a=b,c!=d", "metadata.name=a"}, {"a in (b,c),d notin (e),!f", "metadata.name!=a,metadata.namespace=default"}, {"a>1,b<2", "x=y"},
		{"a in (", "metadata.name=\\,\\="}, {"é", "=,="},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, labels, fields string) {
		query := url.Values{"labelSelector": {labels}, "fieldSelector": {fields}}
		begin := time.Now()
		checkBad(t, do(t, client, http.MethodGet, c.Config.Host+mapsPath+"?"+query.Encode(), "", ""), begin)
	})
}

func FuzzBodies(f *testing.F) {
	c := apiservertest.Start(f, bare(), nil)
	client := httpClient(f, c.Config)
	types := []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	for _, seed := range []string{
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"b"}]}}`,
		`{"metadata":{"name":"p"},"spec":{"containers":null},"spec":{}}`, "{\"metadata\":{\"name\":\"\xff\xfe\"}}",
		strings.Repeat(`{"a":[`, 1000), "a: &a [*a]", "a: &a {<<: *a}", "? {a: b} : c", "--- !!binary x", "k8s\x00\n\x08\n\x02v1\x12\x03Pod\x12\x02\n\x00",
	} {
		for i := range types {
			f.Add(uint(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint, body []byte) {
		begin := time.Now()
		path := c.Config.Host + "/api/v1/namespaces/default/pods?dryRun=All&fieldValidation=Strict"
		checkBad(t, do(t, client, http.MethodPost, path, types[kind%uint(len(types))], string(body)), begin)
	})
}
