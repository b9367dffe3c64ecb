package main

import (
	"errors"
	"os"
	"path/filepath"

	"dhow/identity"
)

// newDhow is the whole of dhow on one machine: its API cannot be had without its node and controllers.
func newDhow(dir, binary string) (*server, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	return &server{
		name: "dhow", dir: dir, kubeconfig: filepath.Join(dir, "root/etc/dhow/kubeconfig"),
		commands: [][]string{{binary, "--root", filepath.Join(dir, "root"), "server"}},
		clean:    []string{binary, "--root", filepath.Join(dir, "root"), "reset", "--yes"},
	}, os.MkdirAll(filepath.Join(dir, "root"), 0o700)
}

// newUpstream is kube-apiserver and etcd alone, with the flags that any cluster has.
func newUpstream(dir, apiserver, etcd string) (*server, error) {
	pki := filepath.Join(dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	id, err := identity.Open(pki)
	if err != nil {
		return nil, err
	}
	cert, key, err := id.Serving("apiserver", "kube-apiserver", []string{"127.0.0.1", "localhost", "kubernetes"})
	if err != nil {
		return nil, err
	}
	const url, client, peer = "https://127.0.0.1:7443", "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := id.WriteKubeconfig(kubeconfig, url, "admin", "system:masters"); err != nil {
		return nil, err
	}
	front, frontKey, err := id.FrontProxyClient()
	if err != nil {
		return nil, err
	}
	frontCert, frontKeyFile := filepath.Join(pki, "front.crt"), filepath.Join(pki, "front.key")
	if err := errors.Join(os.WriteFile(frontCert, front, 0o600), os.WriteFile(frontKeyFile, frontKey, 0o600)); err != nil {
		return nil, err
	}
	return &server{
		name: "upstream", dir: dir, kubeconfig: kubeconfig,
		commands: [][]string{
			{
				etcd, "--data-dir", filepath.Join(dir, "etcd"), "--log-level", "warn", "--quota-backend-bytes", "8589934592",
				"--listen-client-urls", client, "--advertise-client-urls", client,
				"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
			},
			{
				apiserver, "--etcd-servers=" + client, "--secure-port=7443", "--bind-address=127.0.0.1",
				"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
				"--client-ca-file=" + id.CAFile(), "--tls-cert-file=" + cert, "--tls-private-key-file=" + key,
				"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
				"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
				"--requestheader-client-ca-file=" + id.FrontProxyCAFile(), "--requestheader-username-headers=X-Remote-User",
				"--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
				"--proxy-client-cert-file=" + frontCert, "--proxy-client-key-file=" + frontKeyFile,
			},
		},
	}, nil
}
