package connect

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/kubernetes"
)

var unverified = &tls.Config{InsecureSkipVerify: true}

// Services is services/proxy: HTTP to one of a Service's endpoints.
func Services(client func() kubernetes.Interface) map[string]func(*genericregistry.Store) rest.Storage {
	return map[string]func(*genericregistry.Store) rest.Storage{
		"proxy": func(s *genericregistry.Store) rest.Storage { return &serviceProxy{s, client} },
	}
}

type serviceProxy struct {
	store  *genericregistry.Store
	client func() kubernetes.Interface
}

var _ rest.Connecter = &serviceProxy{}

func (r *serviceProxy) New() runtime.Object { return &corev1.ServiceProxyOptions{} }
func (r *serviceProxy) Destroy()            {}
func (r *serviceProxy) NewConnectOptions() (runtime.Object, bool, string) {
	return &corev1.ServiceProxyOptions{}, true, "path"
}
func (r *serviceProxy) ConnectMethods() []string { return proxyMethods }

// Connect serves requests whose name is "[scheme:]service[:port]"; the port is a number or a name.
func (r *serviceProxy) Connect(ctx context.Context, id string, options runtime.Object, responder rest.Responder) (http.Handler, error) {
	scheme, name, port, valid := utilnet.SplitSchemeNamePort(id)
	if !valid {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid service request %q", id))
	}
	obj, err := r.store.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	host, err := r.endpoint(ctx, obj.(*corev1.Service), port)
	if err != nil {
		return nil, err
	}
	if scheme == "" {
		scheme = "http"
	}
	location := &url.URL{Scheme: scheme, Host: host, Path: rooted(options.(*corev1.ServiceProxyOptions).Path)}
	return proxy.NewUpgradeAwareHandler(location, insecure, true, false, proxy.NewErrorResponder(responder)), nil
}

// endpoint chooses one of the ready endpoints of a Service's port.
func (r *serviceProxy) endpoint(ctx context.Context, service *corev1.Service, port string) (string, error) {
	portName, found := portName(service, port)
	if !found {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, service.Name))
	}
	slices, err := r.client().DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name,
	})
	if err != nil {
		return "", err
	}
	var hosts []string
	for _, s := range slices.Items {
		hosts = append(hosts, readyHosts(s, portName)...)
	}
	if len(hosts) == 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", service.Name))
	}
	return hosts[rand.IntN(len(hosts))], nil
}

func portName(service *corev1.Service, port string) (string, bool) {
	if port == "" && len(service.Spec.Ports) == 1 {
		return service.Spec.Ports[0].Name, true
	}
	for _, p := range service.Spec.Ports {
		if port == p.Name || port == strconv.Itoa(int(p.Port)) {
			return p.Name, true
		}
	}
	return "", false
}

func readyHosts(s discoveryv1.EndpointSlice, portName string) []string {
	var hosts []string
	for _, p := range s.Ports {
		if p.Port == nil || p.Name != nil && *p.Name != portName || p.Name == nil && portName != "" {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				hosts = append(hosts, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
			}
		}
	}
	return hosts
}
