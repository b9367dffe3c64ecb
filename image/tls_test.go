package image

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dhow/internal/imagebuild"
)

// tlsRegistry serves sample as hello:1 over TLS, and returns its certificate's file.
func tlsRegistry(t *testing.T) (host, caFile string) {
	t.Helper()
	server := httptest.NewUnstartedServer(imagebuild.Registry())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "https://")
	ref, err := name.ParseReference(host + "/hello:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, sample(t), remote.WithTransport(server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return host, caFile
}

func TestTheRegistriesFileIsReadAgainWhenItChanges(t *testing.T) {
	host, caFile := tlsRegistry(t)
	file := filepath.Join(t.TempDir(), "registries.yaml")
	s, err := New(Config{Dir: t.TempDir(), RegistriesFile: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ text, says string }{
		{"", "400 Bad Request"}, // not trusted, it is tried without TLS, as loopback is
		{fmt.Sprintf("configs: {%q: {tls: {ca_file: %s}}}", host, caFile), ""},
		{"mirrors: [", "registries.yaml"},
		{fmt.Sprintf("configs: {%q: {tls: {ca_file: %s.none}}}", host, caFile), "ca_file"},
		{fmt.Sprintf("configs: {%q: {tls: {insecure_skip_verify: true}}}", host), ""},
		{fmt.Sprintf("mirrors: {a.example: {endpoint: [%q]}}\nconfigs: {%q: {tls: {insecure_skip_verify: true}}}", "https://"+host, host), ""},
	} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		ref := host + "/hello:1"
		if strings.Contains(step.text, "a.example") {
			ref = "a.example/hello:1"
		}
		_, err := s.PullImage(t.Context(), ref, nil, nil)
		if (err == nil) != (step.says == "") || err != nil && !strings.Contains(err.Error(), step.says) {
			t.Errorf("%q: %v", step.text, err)
		}
	}
}
