// Package connect reaches into running pods for clients of the API: logs, exec, attach, port-forward and proxied
// HTTP, each by way of the API of the pod's node (the kubelet API).
package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"dhow/identity"
)

// Nodes finds the API of a node.
type Nodes struct {
	client    func() kubernetes.Interface
	transport *http.Transport
}

// NewNodes speaks to nodes with a certificate of the cluster's authority. client is called at the first request.
func NewNodes(id *identity.Identity, client func() kubernetes.Interface) (*Nodes, error) {
	certPEM, keyPEM, err := id.Client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(id.CA.Cert)
	return &Nodes{client: client, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     time.Minute,
	}}, nil
}

// url is where a node's API answers for a path.
func (n *Nodes) url(ctx context.Context, node, path string, query url.Values) (*url.URL, error) {
	object, err := n.client().CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", node, err)
	}
	port := int(object.Status.DaemonEndpoints.KubeletEndpoint.Port)
	if port == 0 {
		return nil, fmt.Errorf("node %s has not said where its API is", node)
	}
	for _, a := range object.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return &url.URL{Scheme: "https", Host: net.JoinHostPort(a.Address, strconv.Itoa(port)), Path: path, RawQuery: query.Encode()}, nil
		}
	}
	return nil, fmt.Errorf("node %s has no address", node)
}

var errNotScheduled = errors.New("does not have a host assigned")
