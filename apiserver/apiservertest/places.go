package apiservertest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	restclient "k8s.io/client-go/rest"

	"dhow/identity"
)

// FreeAddress is one of loopback where nobody listens, for servers that are to be found again. It is on an address of this
// process' own: the ports of 127.0.0.1 are given to whoever connects or listens meanwhile, in other tests as well.
func FreeAddress(t testing.TB) string {
	t.Helper()
	pid := os.Getpid()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+pid>>16&0x7f, pid>>8&0xff, pid&0xff))
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
