package connect

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

var proxyMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

// podProxy is pods/proxy: HTTP to a port of the pod, which this machine reaches over the pod network.
type podProxy struct{ pods }

var _ rest.Connecter = &podProxy{}

func (r *podProxy) New() runtime.Object { return &corev1.PodProxyOptions{} }
func (r *podProxy) NewConnectOptions() (runtime.Object, bool, string) {
	return &corev1.PodProxyOptions{}, true, "path"
}
func (r *podProxy) ConnectMethods() []string { return proxyMethods }

// Connect serves requests whose name is "[scheme:]pod[:port]".
func (r *podProxy) Connect(ctx context.Context, id string, options runtime.Object, responder rest.Responder) (http.Handler, error) {
	scheme, name, port, valid := utilnet.SplitSchemeNamePort(id)
	if !valid {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid pod request %q", id))
	}
	pod, err := r.get(ctx, name)
	if err != nil {
		return nil, err
	}
	if pod.Status.PodIP == "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s has no address yet", name))
	}
	host := pod.Status.PodIP
	if port == "" {
		port = firstPort(pod)
	}
	if port != "" {
		host = net.JoinHostPort(host, port)
	}
	if scheme == "" {
		scheme = "http"
	}
	location := &url.URL{Scheme: scheme, Host: host, Path: rooted(options.(*corev1.PodProxyOptions).Path)}
	return proxy.NewUpgradeAwareHandler(location, insecure, true, false, proxy.NewErrorResponder(responder)), nil
}

// insecure does not ask pods for certificates: they have none that this cluster knows.
var insecure http.RoundTripper = utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: unverified})

func firstPort(pod *corev1.Pod) string {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			return fmt.Sprint(p.ContainerPort)
		}
	}
	return ""
}

// NodeProxy is nodes/proxy: the node's own API.
func NodeProxy(nodes *Nodes) map[string]func(*genericregistry.Store) rest.Storage {
	return map[string]func(*genericregistry.Store) rest.Storage{
		"proxy": func(*genericregistry.Store) rest.Storage { return &nodeProxy{nodes} },
	}
}

type nodeProxy struct{ nodes *Nodes }

var _ rest.Connecter = &nodeProxy{}

func (r *nodeProxy) New() runtime.Object { return &corev1.NodeProxyOptions{} }
func (r *nodeProxy) Destroy()            {}
func (r *nodeProxy) NewConnectOptions() (runtime.Object, bool, string) {
	return &corev1.NodeProxyOptions{}, true, "path"
}
func (r *nodeProxy) ConnectMethods() []string { return proxyMethods }

// Connect serves requests whose name is "node" or "node:port".
func (r *nodeProxy) Connect(ctx context.Context, id string, options runtime.Object, responder rest.Responder) (http.Handler, error) {
	_, name, _, valid := utilnet.SplitSchemeNamePort(id)
	if !valid {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid node request %q", id))
	}
	path := rooted(options.(*corev1.NodeProxyOptions).Path)
	location, err := r.nodes.url(ctx, name, path, nil)
	if err != nil {
		return nil, err
	}
	return proxy.NewUpgradeAwareHandler(location, r.nodes.transport, false, false, proxy.NewErrorResponder(responder)), nil
}

// rooted is a path that begins with a slash; none stays none, so that the proxy redirects to where relative links work.
func rooted(path string) string {
	if path == "" {
		return ""
	}
	return "/" + strings.TrimPrefix(path, "/")
}
