package apiserver_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	kms "k8s.io/kms/pkg/service"

	"dhow/apiserver/apiservertest"
)

// plugin is a KMS v2 plug-in whose cipher is a joke. A broken one does not answer.
type plugin struct{ broken atomic.Bool }

// serve is its socket in dir, whose path must be short.
func (p *plugin) serve(t *testing.T, dir string) string {
	t.Helper()
	socket := filepath.Join(dir, "s")
	server := kms.NewGRPCService(socket, time.Second, p)
	go func() { _ = server.ListenAndServe() }()
	t.Cleanup(server.Shutdown)
	apiservertest.Eventually(t, func() bool { _, err := os.Stat(socket); return err == nil })
	return socket
}

// pluginConfig has secrets and config maps encrypted by the plug-in at socket.
func pluginConfig(socket string) string {
	return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, configmaps]
  providers:
  - kms: {apiVersion: v2, name: joke, endpoint: "unix://` + socket + `", timeout: 3s}
  - identity: {}
`
}

func (p *plugin) Status(ctx context.Context) (*kms.StatusResponse, error) {
	if p.broken.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &kms.StatusResponse{Version: "v2", Healthz: "ok", KeyID: "key-1"}, nil
}

func (p *plugin) Encrypt(_ context.Context, _ string, data []byte) (*kms.EncryptResponse, error) {
	return &kms.EncryptResponse{Ciphertext: scrambled(data), KeyID: "key-1"}, nil
}

func (p *plugin) Decrypt(_ context.Context, _ string, r *kms.DecryptRequest) ([]byte, error) {
	return scrambled(r.Ciphertext), nil
}

func scrambled(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[i] = b ^ 0x55
	}
	return out
}

func TestAPluginOfTheUsersEncryptsWhatTheOwnKeyDid(t *testing.T) {
	dir, err := os.MkdirTemp("", "kms") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := written(t, "encryption.yaml", pluginConfig((&plugin{}).serve(t, dir)))
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) { createSecrets(t, c, 0, 5) })
	onDisk(t, dir, file, func(t *testing.T, c *apiservertest.Cluster) {
		checkSecrets(t, c, 5)
		createSecrets(t, c, 5, 10)
		checkSecrets(t, c, 10)
		if _, body := askAs(t, c, "", "/readyz?verbose"); !bytes.Contains([]byte(body), []byte("[+]kms-providers ok")) {
			t.Errorf("readyz does not ask the plug-in: %s", body)
		}
		if _, err := askEncryption(c, "rotate-keys"); err == nil {
			t.Error("keys that are not dhow's were rotated")
		}
		if s := changeEncryption(t, c, "reencrypt"); s.Rewritten < 5 {
			t.Errorf("reencrypt wrote %d", s.Rewritten)
		}
	})
	if err := os.RemoveAll(filepath.Join(dir, "keys")); err != nil { // nothing needs them any more
		t.Fatal(err)
	}
	onDisk(t, dir, file, func(t *testing.T, c *apiservertest.Cluster) { checkSecrets(t, c, 10) })
}
