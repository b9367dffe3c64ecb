package apiservice_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/apiservice"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func start(t *testing.T) (*apiservertest.Cluster, aggregatorclient.Interface) {
	t.Helper()
	c := apiservertest.Start(t, []apiserver.Kind{
		namespace.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}), secret.Kind(), serviceaccount.Kind(serviceaccount.Config{}), apiservice.Kind(),
	}, nil)
	return c, aggregatorclient.NewForConfigOrDie(c.Config)
}

func remote(name string) *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "boats.example.com", Version: "v1", GroupPriorityMinimum: 100, VersionPriority: 10,
			Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "boats"},
		},
	}
}

func TestAPIServicesAreDefaultedAndPrinted(t *testing.T) {
	c, client := start(t)
	got, err := client.ApiregistrationV1().APIServices().Create(c.Context, remote("v1.boats.example.com"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.Service.Port == nil || *got.Spec.Service.Port != 443 {
		t.Errorf("the port is %v", got.Spec.Service.Port)
	}
	text, err := c.Client.Discovery().RESTClient().Get().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(c.Context)
	if err != nil || !strings.Contains(string(text), `"cells":["v1.boats.example.com","default/boats","Unknown","`) {
		t.Errorf("printed as %s, %v", text, err)
	}
}

func TestLocalAPIServicesAreAvailableAtOnce(t *testing.T) {
	c, client := start(t)
	local := remote("v1.boats.example.com")
	local.Spec.Service = nil
	got, err := client.ApiregistrationV1().APIServices().Create(c.Context, local, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Status.Conditions) != 1 || got.Status.Conditions[0].Reason != "Local" {
		t.Errorf("conditions are %+v", got.Status.Conditions)
	}
}

func TestAPIServicesCanBeApplied(t *testing.T) {
	c, client := start(t)
	patch := []byte(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.boats.example.com"},
		"spec":{"group":"boats.example.com","version":"v1","groupPriorityMinimum":100,"versionPriority":10,"service":{"namespace":"default","name":"boats"}}}`)
	for range 2 {
		_, err := client.ApiregistrationV1().APIServices().Patch(c.Context, "v1.boats.example.com", types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: "me"})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongAPIServicesAreRefused(t *testing.T) {
	c, client := start(t)
	tests := map[string]struct {
		edit func(*apiregistrationv1.APIService)
		want string
	}{
		"name":     {func(s *apiregistrationv1.APIService) { s.Name = "boats" }, "must be `spec.version+\".\"+spec.group`: \"v1.boats.example.com\""},
		"priority": {func(s *apiregistrationv1.APIService) { s.Spec.VersionPriority = 0 }, "spec.versionPriority: Invalid value: 0: must be positive and less than 1000"},
		"service":  {func(s *apiregistrationv1.APIService) { s.Spec.Service.Name = "" }, "spec.service.name: Required value"},
		"local": {func(s *apiregistrationv1.APIService) { s.Spec.Service, s.Spec.InsecureSkipTLSVerify = nil, true },
			"local APIServices may not have insecureSkipTLSVerify"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := remote("v1.boats.example.com")
			test.edit(s)
			_, err := client.ApiregistrationV1().APIServices().Create(c.Context, s, metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
