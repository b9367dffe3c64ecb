package resilience

import (
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver/apiservertest"
)

// nested is a document that is so deep.
func nested(begin, end string, depth int) string {
	return `{"metadata":{"name":"deep"},"data":` + strings.Repeat(begin, depth) + "1" + strings.Repeat(end, depth) + `}`
}

// laughs is YAML that would be 10^9 words long were its aliases written out.
func laughs() string {
	var b strings.Builder
	b.WriteString("x0: &x0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n")
	for i := '1'; i <= '9'; i++ {
		b.WriteString("x" + string(i) + ": &x" + string(i) + " [")
		b.WriteString(strings.Repeat("*x"+string(i-1)+",", 9) + "*x" + string(i-1) + "]\n")
	}
	return b.String() + "kind: ConfigMap\napiVersion: v1\nmetadata: {name: lol}\n"
}

func TestBodiesThatWouldTakeMuchAreRefusedAndTheServerGoesOn(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, url := httpClient(t, c.Config), c.Config.Host+mapsPath
	const yaml, json = "application/yaml", "application/json"
	for _, test := range []struct {
		name, contentType, body string
		code                    int
	}{
		{"more than 3 MiB", json, `{"metadata":{"name":"c"},"data":{"a":"` + strings.Repeat("x", 3<<20) + `"}}`, http.StatusRequestEntityTooLarge},
		{"more than 3 MiB of YAML", yaml, "metadata: {name: c}\ndata: {a: " + strings.Repeat("x", 3<<20) + "}", http.StatusRequestEntityTooLarge},
		{"deep arrays", json, nested("[", "]", 1<<20), http.StatusBadRequest},
		{"deep objects", json, nested(`{"a":`, "}", 400<<10), http.StatusBadRequest},
		{"deep YAML", yaml, nested("[", "]", 20<<10), http.StatusBadRequest},
		{"deep YAML by indentation", yaml, strings.Repeat("- ", 100<<10) + "a", http.StatusBadRequest},
		{"a billion laughs", yaml, laughs(), http.StatusBadRequest},
		{"a million elements", json, `{"metadata":{"name":"c","finalizers":[` + strings.Repeat(`1,`, 1<<20) + `1]}}`, http.StatusBadRequest},
		{"no JSON", json, "{", http.StatusBadRequest},
		{"nothing", json, "", http.StatusBadRequest},
		{"another kind", json, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"c"}}`, http.StatusBadRequest},
		{"no protobuf", "application/vnd.kubernetes.protobuf", "k8s\x00\xff\xff\xff\xff\x0f", http.StatusBadRequest},
		{"protobuf cut off", "application/vnd.kubernetes.protobuf", "k8s\x00\x0a\x7f", http.StatusBadRequest},
		{"a type nobody reads", "application/x-tar", "x", http.StatusUnsupportedMediaType},
	} {
		begin := time.Now()
		r := do(t, client, http.MethodPost, url, test.contentType, test.body)
		if r.code != test.code || r.status.Status != metav1.StatusFailure {
			t.Errorf("%s: status %d, want %d: %.300s", test.name, r.code, test.code, r.body)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%s: took %s", test.name, took)
		}
	}
	create(t, c, "afterwards")
}

func TestFieldsGivenTwiceAreToldOrRefusedAsAsked(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, url := httpClient(t, c.Config), c.Config.Host+mapsPath+"?fieldValidation="
	twice := `{"metadata":{"name":"c"},"data":{"a":"1"},"data":{"a":"2"}}`
	if r := do(t, client, http.MethodPost, url+"Strict", "application/json", twice); r.code != http.StatusBadRequest || !strings.Contains(r.body, `duplicate field \"data\"`) {
		t.Errorf("strict: %d %s", r.code, r.body)
	}
	if r := do(t, client, http.MethodPost, url+"Warn", "application/json", twice); r.code != http.StatusCreated || !strings.Contains(r.header.Get("Warning"), "duplicate field") {
		t.Errorf("warn: %d %v", r.code, r.header)
	}
}
