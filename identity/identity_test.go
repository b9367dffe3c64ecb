package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func open(t *testing.T, dir string) *Identity {
	t.Helper()
	id, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestKeysAreMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, second := open(t, dir), open(t, dir)
	if !bytes.Equal(first.CA.PEM, second.CA.PEM) || first.ServiceAccountKeys.Verifying()[0].ID != second.ServiceAccountKeys.Verifying()[0].ID {
		t.Error("the second opening made new keys")
	}
}

func TestOnlyTheOwnerMayReadKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	id := open(t, dir)
	if _, _, err := id.Serving("apiserver", "dhow", []string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnInterruptedFirstStartLeavesNothingHalfMade(t *testing.T) {
	parent := t.TempDir()
	if err := os.MkdirAll(filepath.Join(parent, ".pki-cut-off"), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(parent, "pki"))
}

func TestADamagedKeyIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	open(t, dir)
	path := filepath.Join(dir, "ca.key")
	if err := os.WriteFile(path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !bytes.Contains([]byte(err.Error()), []byte(path)) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
}

func TestAServingCertificateIsMadeAnewForNewNames(t *testing.T) {
	id := open(t, filepath.Join(t.TempDir(), "pki"))
	load := func(names ...string) []byte {
		t.Helper()
		certFile, keyFile, err := id.Serving("apiserver", "dhow", names)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Certificate[0]
	}
	first := load("10.0.0.1", "kubernetes")
	if !bytes.Equal(first, load("10.0.0.1")) {
		t.Error("a certificate that serves was replaced")
	}
	other := load("10.0.0.2")
	if bytes.Equal(first, other) {
		t.Error("a certificate that lacks a name was kept")
	}
	cert, err := x509.ParseCertificate(other)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(id.CA.Cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "10.0.0.2"}); err != nil {
		t.Error(err)
	}
}

func TestAClientCertificateNamesUserAndGroups(t *testing.T) {
	id := open(t, filepath.Join(t.TempDir(), "pki"))
	data, _, err := id.Client("system:node:a", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "system:node:a" || cert.Subject.Organization[0] != "system:nodes" {
		t.Errorf("got %v", cert.Subject)
	}
}

func TestAKubeconfigIsKeptUntilTheServerMoves(t *testing.T) {
	id := open(t, filepath.Join(t.TempDir(), "pki"))
	path := filepath.Join(t.TempDir(), "etc", "kubeconfig")
	write := func(server string) []byte {
		t.Helper()
		if err := id.WriteKubeconfig(path, server, "system:admin", "system:masters"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := write("https://127.0.0.1:6443")
	if !bytes.Equal(first, write("https://127.0.0.1:6443")) {
		t.Error("a working kubeconfig was replaced")
	}
	write("https://127.0.0.1:7443")
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil || config.Host != "https://127.0.0.1:7443" {
		t.Errorf("got %v, %v", config, err)
	}
}
