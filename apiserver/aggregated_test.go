package apiserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	aggregatorclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
)

// aggregating are the kinds that passing requests on needs.
func aggregating() []apiserver.Kind {
	return append(bare(),
		apiserver.Define[*corev1.Service, *corev1.ServiceList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Service", Resource: "services"}, apiserver.Rules[*corev1.Service]{HasStatus: true}),
		apiserver.Define[*discoveryv1.EndpointSlice, *discoveryv1.EndpointSliceList](discoveryv1.SchemeGroupVersion,
			apiserver.Names{Kind: "EndpointSlice", Resource: "endpointslices"}, apiserver.Rules[*discoveryv1.EndpointSlice]{}),
		apiserver.Define[*apiregistrationv1.APIService, *apiregistrationv1.APIServiceList](apiregistrationv1.SchemeGroupVersion,
			apiserver.Names{Kind: "APIService", Resource: "apiservices", Cluster: true}, apiserver.Rules[*apiregistrationv1.APIService]{HasStatus: true, ValidateName: path.IsValidPathSegmentName}),
	)
}

// otherServer serves boats.example.com/v1 to those whose certificate the front proxy's authority has signed.
func otherServer(t *testing.T, c *apiservertest.Cluster) *httptest.Server {
	t.Helper()
	authority, err := os.ReadFile(c.Identity.FrontProxyCAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	answer := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(value); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/apis/boats.example.com/v1", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, metav1.APIResourceList{GroupVersion: "boats.example.com/v1", APIResources: []metav1.APIResource{
			{Name: "dhows", SingularName: "dhow", Kind: "Dhow", Namespaced: true, Verbs: []string{"get", "list"}},
		}})
	})
	mux.HandleFunc("/apis/boats.example.com/v1/namespaces/default/dhows/one", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"askedBy": r.Header.Get("X-Remote-User"), "of": r.Header.Get("X-Remote-Group")})
	})
	mux.HandleFunc("/openapi/v3", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"paths": map[string]any{"apis/boats.example.com/v1": map[string]string{"serverRelativeURL": "/openapi/v3/apis/boats.example.com/v1?hash=1"}}})
	})
	mux.HandleFunc("/openapi/v3/apis/boats.example.com/v1", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"openapi": "3.0.0"})
	})
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// addBoats makes the Service of the other server, and the APIService that names it.
func addBoats(t *testing.T, c *apiservertest.Cluster, other *httptest.Server) aggregatorclient.Interface {
	t.Helper()
	client := aggregatorclient.NewForConfigOrDie(c.Config)
	address := netip.MustParseAddrPort(other.Listener.Addr().String())
	port, name, ready := int32(address.Port()), "https", true
	_, err := c.Client.CoreV1().Services("default").Create(c.Context, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "boats"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.43.0.9", Ports: []corev1.ServicePort{{Name: name, Port: 443}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.ApiregistrationV1().APIServices().Create(c.Context, &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1.boats.example.com"},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "boats.example.com", Version: "v1", GroupPriorityMinimum: 100, VersionPriority: 10, InsecureSkipTLSVerify: true,
			Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "boats"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	awaitReason(t, c, client, "EndpointsNotFound")
	_, err = c.Client.DiscoveryV1().EndpointSlices("default").Create(c.Context, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "boats-1", Labels: map[string]string{discoveryv1.LabelServiceName: "boats"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	awaitReason(t, c, client, "Passed")
	return client
}

func awaitReason(t *testing.T, c *apiservertest.Cluster, client aggregatorclient.Interface, reason string) {
	t.Helper()
	last := ""
	defer func() {
		if last != reason {
			t.Logf("the last reason was %q", last)
		}
	}()
	apiservertest.Eventually(t, func() bool {
		s, err := client.ApiregistrationV1().APIServices().Get(c.Context, "v1.boats.example.com", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if found := helper.GetAPIServiceConditionByType(s, apiregistrationv1.Available); found != nil {
			last = found.Reason
		}
		return last == reason
	})
}

func TestRequestsForOthersGroupsArePassedOn(t *testing.T) {
	c := apiservertest.Start(t, aggregating(), nil)
	addBoats(t, c, otherServer(t, c))
	const at = "/apis/boats.example.com/v1/namespaces/default/dhows/one"
	text, err := c.Client.Discovery().RESTClient().Get().AbsPath(at).DoRaw(c.Context)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"askedBy":"system:admin","of":"system:masters"}`; strings.TrimSpace(string(text)) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	someone, err := c.Server.Client("someone")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := someone.Discovery().RESTClient().Get().AbsPath(at).DoRaw(c.Context); err == nil {
		t.Errorf("who may not gets %s", text)
	}
}

func TestDiscoveryNamesWhatOthersServe(t *testing.T) {
	c := apiservertest.Start(t, aggregating(), nil)
	client := addBoats(t, c, otherServer(t, c))
	apiservertest.Eventually(t, func() bool { // the document is put together a little later
		_, lists, err := c.Client.Discovery().ServerGroupsAndResources() // aggregated
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lists {
			if l.GroupVersion == "boats.example.com/v1" {
				return len(l.APIResources) == 1 && l.APIResources[0].Kind == "Dhow"
			}
		}
		return false
	})
	for path, want := range map[string]string{
		"/apis": `"groupVersion":"boats.example.com/v1"`, "/apis/boats.example.com": `"kind":"APIGroup"`,
		"/openapi/v3": "/openapi/v3/apis/boats.example.com/v1?hash=1", "/openapi/v3/apis/boats.example.com/v1": `"openapi":"3.0.0"`,
	} {
		text, err := c.Client.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(c.Context)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, %v", path, text, err)
		}
	}
	if err := client.ApiregistrationV1().APIServices().Delete(c.Context, "v1.boats.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		text, err := c.Client.Discovery().RESTClient().Get().AbsPath("/apis").DoRaw(c.Context)
		return err == nil && !strings.Contains(string(text), "boats")
	})
}

func TestOthersThatDoNotAnswerAreUnavailable(t *testing.T) {
	c := apiservertest.Start(t, aggregating(), nil)
	other := otherServer(t, c)
	client := addBoats(t, c, other)
	other.Close()
	err := c.Client.DiscoveryV1().EndpointSlices("default").DeleteCollection(c.Context, metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	awaitReason(t, c, client, "EndpointsNotFound")
	status := 0
	c.Client.Discovery().RESTClient().Get().AbsPath("/apis/boats.example.com/v1").Do(c.Context).StatusCode(&status)
	if status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
}

func TestOthersAreToldWhomToBelieve(t *testing.T) {
	c := apiservertest.Start(t, aggregating(), nil)
	got, err := c.Client.CoreV1().ConfigMaps("kube-system").Get(c.Context, "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(got.Data["requestheader-client-ca-file"]))
	if block == nil {
		t.Fatalf("no certificate of the front proxy's authority: %v", got.Data)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Error(err)
	}
	if got.Data["client-ca-file"] != string(c.Config.CAData) || got.Data["requestheader-username-headers"] != `["X-Remote-User"]` {
		t.Errorf("got %v", got.Data)
	}
}
