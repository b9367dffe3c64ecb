package dynamicadmission

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

func TestServicesAreFoundAtTheirReadyEndpoints(t *testing.T) {
	f := informers.NewSharedInformerFactory(nil, 0)
	services := NewServices(f)
	add := func(text string) {
		f.Core().V1().Services().Informer().GetIndexer().Add(admittest.YAML[corev1.Service](t, text))
	}
	add(`{metadata: {namespace: ns, name: hook}, spec: {type: ClusterIP, ports: [{name: https, port: 443}]}}`)
	add(`{metadata: {namespace: ns, name: idle}, spec: {type: ClusterIP, ports: [{name: https, port: 443}]}}`)
	add(`{metadata: {namespace: ns, name: far}, spec: {type: ExternalName, externalName: example.com, ports: [{port: 443}]}}`)
	f.Discovery().V1().EndpointSlices().Informer().GetIndexer().Add(admittest.YAML[discoveryv1.EndpointSlice](t, `{metadata: {namespace: ns, name: hook-x, labels: {kubernetes.io/service-name: hook}},
		addressType: IPv4, ports: [{name: https, port: 8443}], endpoints: [{addresses: [10.42.0.7], conditions: {ready: false}}, {addresses: [10.42.0.8], conditions: {ready: true}}]}`))
	for name, c := range map[string]struct {
		service string
		port    int32
		url     string
		err     string
	}{
		"ready":     {"hook", 443, "https://10.42.0.8:8443", ""},
		"elsewhere": {"far", 443, "https://example.com:443", ""},
		"no port":   {"hook", 80, "", `no service port 80 found for service "hook"`},
		"nobody":    {"idle", 443, "", `no endpoints available for service "idle"`},
		"missing":   {"none", 443, "", `"none" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := services.ResolveEndpoint("ns", c.service, c.port)
			admittest.Check(t, err, c.err)
			if err == nil && u.String() != c.url {
				t.Errorf("got %s", u)
			}
		})
	}
}
