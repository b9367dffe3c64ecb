package apiservertest

import (
	"net"
	"path/filepath"
	"testing"

	restclient "k8s.io/client-go/rest"

	"dhow/identity"
)

// FreeAddress is one of loopback where nobody listens, for servers that are to be found again.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Admin is the administrator's configuration for a server at address whose keys are in dir/pki.
func Admin(t testing.TB, dir, address string) *restclient.Config {
	t.Helper()
	id, err := identity.Open(filepath.Join(dir, "pki"))
	check(t, err)
	cert, key, err := id.Client("system:admin", "system:masters")
	check(t, err)
	return &restclient.Config{
		Host: "https://" + address, QPS: -1, TLSClientConfig: restclient.TLSClientConfig{CAData: id.CA.PEM, CertData: cert, KeyData: key},
	}
}
