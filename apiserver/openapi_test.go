package apiserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"dhow/apiserver/apiservertest"
)

// documentV3 reads one group version's document as kubectl does: from the index, over HTTPS.
func documentV3(t *testing.T, c *apiservertest.Cluster, at string) *spec3.OpenAPI {
	t.Helper()
	paths, err := kubernetes.NewForConfigOrDie(c.Config).Discovery().OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	if paths[at] == nil {
		return nil
	}
	text, err := paths[at].Schema("application/json")
	if apierrors.IsNotFound(err) { // it has gone since
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &spec3.OpenAPI{}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIV3DescribesTypesAndPaths(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	d := documentV3(t, c, "api/v1")
	container := d.Components.Schemas["io.k8s.api.core.v1.Container"]
	if container == nil || !strings.HasPrefix(container.Properties["image"].Description, "Container image name") {
		t.Fatalf("a container is described as %+v", container)
	}
	if got := container.Properties["ports"].Extensions["x-kubernetes-patch-merge-key"]; got != "containerPort" {
		t.Errorf("ports are merged by %v", got)
	}
	patch := d.Paths.Paths["/api/v1/namespaces/{namespace}/pods/{name}"].Patch
	if got, _ := json.Marshal(patch.Extensions["x-kubernetes-group-version-kind"]); string(got) != `{"group":"","kind":"Pod","version":"v1"}` {
		t.Errorf("pods are patched as %s", got)
	}
	found := false
	for _, p := range patch.Parameters {
		found = found || p.Name == "fieldValidation"
	}
	if !found {
		t.Error("kubectl cannot see that the server validates fields")
	}
	for name := range d.Components.Schemas {
		if strings.HasPrefix(name, "io.k8s.api.apps.") {
			t.Errorf("the core group's document has %s", name)
		}
	}
}

func TestOpenAPIV3IsServedAsProtobuf(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	paths, err := c.Client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	text, err := paths["api/v1"].Schema("application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
	if err != nil || !strings.Contains(string(text), "io.k8s.api.core.v1.Pod") {
		t.Errorf("got %d bytes, %v", len(text), err)
	}
}

func TestOpenAPIV2DescribesEverythingInOneDocument(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	addWidgets(t, c)
	apiservertest.Eventually(t, func() bool {
		document, err := c.Client.Discovery().OpenAPISchema() // protobuf
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, d := range document.Definitions.AdditionalProperties {
			seen[d.Name]++
		}
		for name, n := range seen {
			if n > 1 {
				t.Fatalf("%s is there %d times", name, n)
			}
		}
		return seen["io.k8s.api.core.v1.Pod"] == 1 && seen["com.example.v1.Widget"] == 1 &&
			seen["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"] == 1
	})
	text, err := c.Client.Discovery().RESTClient().Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").DoRaw(c.Context)
	if err != nil {
		t.Fatal(err)
	}
	var d spec.Swagger
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Info.Title != "Kubernetes" || d.Paths.Paths["/api/v1/pods"].Get == nil || d.Paths.Paths["/apis/example.com/v1/widgets"].Get == nil {
		t.Errorf("title %q, %d paths", d.Info.Title, len(d.Paths.Paths))
	}
}

func TestOpenAPIFollowsCustomResources(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	if documentV3(t, c, "apis/example.com/v1") != nil {
		t.Fatal("widgets are described before they are defined")
	}
	definitions := addWidgets(t, c)
	apiservertest.Eventually(t, func() bool {
		d := documentV3(t, c, "apis/example.com/v1")
		return d != nil && d.Components.Schemas["com.example.v1.Widget"].Properties["spec"].Properties["size"].Description == "how big it is"
	})
	if err := definitions.ApiextensionsV1().CustomResourceDefinitions().Delete(c.Context, "widgets.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool { return documentV3(t, c, "apis/example.com/v1") == nil })
}

func addWidgets(t *testing.T, c *apiservertest.Cluster) apiextensionsclient.Interface {
	t.Helper()
	client := apiextensionsclient.NewForConfigOrDie(c.Config)
	object := func(properties map[string]apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
		return apiextensionsv1.JSONSchemaProps{Type: "object", Properties: properties}
	}
	schema := object(map[string]apiextensionsv1.JSONSchemaProps{
		"spec": object(map[string]apiextensionsv1.JSONSchemaProps{"size": {Type: "integer", Description: "how big it is"}}),
	})
	_, err := client.ApiextensionsV1().CustomResourceDefinitions().Create(c.Context, &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &schema},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestOpenAPITellsClientsWhatTheyHaveAlready(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client := kubernetes.NewForConfigOrDie(c.Config).Discovery().RESTClient().(*restclient.RESTClient).Client
	get := func(etag string) *http.Response {
		r, err := http.NewRequestWithContext(c.Context, http.MethodGet, c.Config.Host+"/openapi/v2", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip")
		r.Header.Set("If-None-Match", etag)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return response
	}
	first := get("")
	if first.StatusCode != http.StatusOK || first.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("status %d, headers %v", first.StatusCode, first.Header)
	}
	if again := get(first.Header.Get("Etag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: status %d", again.StatusCode)
	}
}
