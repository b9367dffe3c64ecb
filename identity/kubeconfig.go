package identity

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"dhow/internal/atomicfile"
)

// WriteKubeconfig gives the holder of path (mode 0600) the rights of user cn in groups orgs at the API server's
// URL. A file that still works for that server and authority is left alone.
func (id *Identity) WriteKubeconfig(path, server, cn string, orgs ...string) error {
	if id.kubeconfigHolds(path, server) {
		return nil
	}
	cert, key, err := id.Client(cn, orgs...)
	if err != nil {
		return err
	}
	const name = "dhow"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: id.CA.PEM}
	config.AuthInfos[cn] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: cn}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	if err := atomicfile.Write(path, data); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

func (id *Identity) kubeconfigHolds(path, server string) bool {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return false
	}
	context := config.Contexts[config.CurrentContext]
	if context == nil {
		return false
	}
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	return cluster != nil && user != nil && cluster.Server == server &&
		string(cluster.CertificateAuthorityData) == string(id.CA.PEM) && clientCertGood(user.ClientCertificateData)
}
