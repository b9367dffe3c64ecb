package aggregation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/proxy"
	genericapi "k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/request"
	proxyutil "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/transport"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
)

// backend is the server of one group version. It does not change; a changed one takes its place.
type backend struct {
	spec      apiregistrationv1.APIServiceSpec
	resolver  webhook.ServiceResolver
	transport http.RoundTripper
	available bool
	resources []apidiscoveryv2.APIResourceDiscovery
	// openAPI is where the server describes this group version, "" if it does not.
	openAPI string
}

func newBackend(c Config, spec apiregistrationv1.APIServiceSpec) (*backend, error) {
	t, err := transport.New(&transport.Config{TLS: transport.TLSConfig{
		Insecure: spec.InsecureSkipTLSVerify, CAData: spec.CABundle, CertData: c.Cert, KeyData: c.Key,
		ServerName: spec.Service.Name + "." + spec.Service.Namespace + ".svc",
	}})
	if err != nil {
		return nil, fmt.Errorf("connect to service %s/%s: %w", spec.Service.Namespace, spec.Service.Name, err)
	}
	return &backend{spec: spec, resolver: c.Resolver, transport: t}, nil
}

func (b *backend) groupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: b.spec.Group, Version: b.spec.Version}
}

// address is where the server can be reached now.
func (b *backend) address() (*url.URL, error) {
	s := b.spec.Service
	found, err := b.resolver.ResolveEndpoint(s.Namespace, s.Name, ptr.Deref(s.Port, 443))
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "https", Host: found.Host}, nil
}

// ServeHTTP passes one request on, with the name of its user.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !b.available {
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	u, ok := request.UserFrom(r.Context())
	if !ok {
		http.Error(w, "missing user", http.StatusInternalServerError)
		return
	}
	location, err := b.address()
	if err != nil {
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	location.Path, location.RawQuery = r.URL.Path, r.URL.Query().Encode()
	passed, cancel := proxyutil.NewRequestForProxy(location, r)
	defer cancel()
	upgrade := httpstream.IsUpgradeRequest(r)
	if upgrade { // which does not go through the round tripper
		transport.SetAuthProxyHeaders(passed, u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra())
	}
	as := transport.NewAuthProxyRoundTripper(u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra(), b.transport)
	h := proxy.NewUpgradeAwareHandler(location, as, true, upgrade, failure{})
	h.RejectForwardingRedirects = true
	h.ServeHTTP(w, passed)
}

// failure answers when a server does not.
type failure struct{}

func (failure) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// learn asks the server what it serves.
func (b *backend) learn(client *http.Client) error {
	base, err := b.address()
	if err != nil {
		return err
	}
	gv := b.groupVersion()
	var list metav1.APIResourceList
	if err := get(client, base.JoinPath("apis", gv.Group, gv.Version), &list); err != nil {
		return err
	}
	if b.resources, err = genericapi.ConvertGroupVersionIntoToDiscovery(list.APIResources); err != nil {
		return err
	}
	var index struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := get(client, base.JoinPath("openapi", "v3"), &index); err == nil { // not every server has it
		b.openAPI = index.Paths["apis/"+gv.String()].ServerRelativeURL
	}
	return nil
}

// maxAnswer bounds what is read of an answer about what a server serves.
const maxAnswer = 4 << 20

// get asks as one who may know everything.
func get(client *http.Client, at *url.URL, into any) error {
	r, err := http.NewRequest(http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	transport.SetAuthProxyHeaders(r, "system:kube-aggregator", "", []string{"system:masters"}, nil)
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("failing or missing response from %v: %w", at, err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("failing or missing response from %v: bad status from %v: %d", at, at, response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read %v: %w", at, err)
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("read %v: %w", at, errors.New("the answer is too long"))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %v: %w", at, err)
	}
	return nil
}

// groupVersionOf reads what API a path is of, also that of its OpenAPI document.
func groupVersionOf(path string) (gv schema.GroupVersion) {
	after, ok := strings.CutPrefix(strings.TrimPrefix(path, "/openapi/v3"), "/apis/")
	if !ok {
		return gv
	}
	parts := strings.SplitN(after, "/", 3)
	gv.Group = parts[0]
	if len(parts) > 1 {
		gv.Version = parts[1]
	}
	return gv
}
