package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// configMaps is where the hostile requests go.
const configMaps = "/api/v1/namespaces/default/configmaps"

func (n *node) config() *rest.Config {
	n.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(n.root, "etc/dhow/kubeconfig"))
	if err != nil {
		n.t.Fatal(err)
	}
	return config
}

// eager is a client that asks as fast as it can.
func (n *node) eager() kubernetes.Interface {
	n.t.Helper()
	config := n.config()
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		n.t.Fatal(err)
	}
	return client
}

// post sends a body as an administrator and returns the status and the beginning of the answer.
func (n *node) post(contentType string, body io.Reader) (int, string) {
	n.t.Helper()
	config := n.config()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, config.Host+configMaps, body)
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := client.Do(request)
	if err != nil {
		n.t.Fatalf("the server did not answer: %v", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// nested is n times open, what is in the middle, and n times shut.
func nested(open, middle, shut string, n int) string {
	return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
}

// aliases is YAML of a few lines that would become 10 to the power of depth words.
func aliases(depth int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n  l0: &l0 [word]\n")
	for i := range depth {
		fmt.Fprintf(&b, "  l%d: &l%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d,", i), 10), ","))
	}
	return b.String()
}

func TestBodiesThatAreNoObjectsAreRefused(t *testing.T) {
	n := startNode(t)
	const hundredMegabytes = 100 << 20
	for _, test := range []struct {
		name, contentType string
		body              io.Reader
		status            int
		message           string
	}{
		{"huge JSON", "application/json", io.LimitReader(endless(`{"a":"`, 'x'), hundredMegabytes), 413, "limit is 3145728"},
		{"huge YAML", "application/yaml", io.LimitReader(endless("a: ", 'x'), hundredMegabytes), 413, "limit is 3145728"},
		{"nested JSON objects", "application/json", strings.NewReader(nested(`{"a":`, "1", "}", 400_000)), 400, "exceeded max depth"},
		{"nested JSON lists in metadata", "application/json",
			strings.NewReader(`{"apiVersion":"v1","kind":"ConfigMap","metadata":` + nested("[", "", "]", 1_000_000) + "}"), 400, "exceeded max depth"},
		{"nested YAML", "application/yaml", strings.NewReader(nested("[", "", "]", 1_000_000)), 400, "depth"},
		{"YAML of aliases", "application/yaml", strings.NewReader(aliases(9)), 400, "excessive aliasing"},
		{"half a JSON object", "application/json", strings.NewReader(`{"apiVersion":"v1","kind":"Conf`), 400, "unexpected end of JSON input"},
		{"protobuf without its beginning", "application/vnd.kubernetes.protobuf", strings.NewReader("\x0a\x0b\x0c"), 400, "does not appear to be a protobuf message"},
		{"protobuf of noise", "application/vnd.kubernetes.protobuf", strings.NewReader("k8s\x00" + strings.Repeat("\xff", 1000)), 400, "proto"},
		{"protobuf with a length beyond its end", "application/vnd.kubernetes.protobuf", strings.NewReader("k8s\x00\x0a\xff\xff\xff\xff\x07"), 400, "unexpected EOF"},
		{"an unknown media type", "text/plain", strings.NewReader("hello"), 415, "the body of the request was in an unknown format"},
		{"nothing", "application/json", bytes.NewReader(nil), 400, ""},
	} {
		status, text := n.post(test.contentType, test.body)
		if status != test.status || !strings.Contains(text, test.message) {
			t.Errorf("%s: answered %d %.300s\nwant %d with %q", test.name, status, text, test.status, test.message)
		}
	}
	n.kubectl("get", "nodes")
}

// endless is a beginning and one byte for ever.
func endless(begin string, then byte) io.Reader {
	return io.MultiReader(strings.NewReader(begin), repeated(then))
}

type repeated byte

func (r repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

func TestClientsThatNeitherSendNorReadHarmNobody(t *testing.T) {
	n := startNode(t)
	config, err := rest.TLSConfigFor(n.config())
	if err != nil {
		t.Fatal(err)
	}
	const stalled = 300
	for i := range stalled {
		// One third says nothing, one third sends half a request's head, one third half a body.
		sent := []string{"", "GET /api HTTP/1.1\r\nHost: loc", "POST " + configMaps + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"}[i%3]
		conn := dial(t, config)
		if _, err := conn.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		conn := dial(t, config)
		if _, err := conn.Write([]byte("GET " + configMaps + "?watch=true HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	client := n.eager().CoreV1().ConfigMaps("default")
	big := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "big"}, Data: map[string]string{"text": strings.Repeat("x", 100_000)}}
	if _, err := client.Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 { // 20 MB for each watcher that does not read
		big.Labels = map[string]string{"round": fmt.Sprint(i)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := client.Update(ctx, big, metav1.UpdateOptions{})
		cancel()
		if err != nil {
			t.Fatalf("update %d beside clients that do not read: %v", i, err)
		}
	}
	n.kubectl("get", "nodes")
}

// dial makes a TLS connection that ends with the test.
func dial(t *testing.T, config *tls.Config) net.Conn {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", "127.0.0.1:6443", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
