package customresources_test

import (
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/storageversionmigration"
)

func kinds() []apiserver.Kind {
	return []apiserver.Kind{
		namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{}),
		storageversionmigration.Kind(),
	}
}

// world is a server and a client of its definitions.
type world struct {
	*apiservertest.Cluster
	definitions apiextensionsclient.Interface
	objects     dynamic.Interface
}

func start(t testing.TB) *world {
	t.Helper()
	c := apiservertest.Start(t, kinds(), nil)
	admin := c.Server.ClientConfig("system:admin", "system:masters") // connections that stay open would hold up the server's end
	return &world{c, apiextensionsclient.NewForConfigOrDie(admin), dynamic.NewForConfigOrDie(admin)}
}

// define makes the kind Thing of the resource things in the group name.example.com; spec is what a definition's has
// besides, or just the schema of its one version v1.
func (w *world) define(t testing.TB, name, spec string) (*apiextensionsv1.CustomResourceDefinition, error) {
	t.Helper()
	if !strings.Contains(spec, "versions:") {
		spec = "{" + versions(spec, "") + "}"
	}
	d := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things." + name + ".example.com"},
		Spec:       *admittest.YAML[apiextensionsv1.CustomResourceDefinitionSpec](t, spec),
	}
	d.Spec.Group, d.Spec.Scope = name+".example.com", apiextensionsv1.NamespaceScoped
	d.Spec.Names.Plural, d.Spec.Names.Kind = "things", "Thing"
	return w.definitions.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), d, metav1.CreateOptions{})
}

// versions is one version v1 of a schema.
func versions(schema, more string) string {
	if more != "" {
		more = ", " + more
	}
	return `versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: ` + schema + `}` + more + `}]`
}

// serve defines things, and returns a client of them when they are served.
func (w *world) serve(t testing.TB, name, spec string) dynamic.ResourceInterface {
	t.Helper()
	if _, err := w.define(t, name, spec); err != nil {
		t.Fatal(err)
	}
	client := w.things(name, "v1")
	w.await(t, client)
	return client
}

func (w *world) things(name, version string) dynamic.ResourceInterface {
	return w.objects.Resource(schema.GroupVersionResource{Group: name + ".example.com", Version: version, Resource: "things"}).Namespace("default")
}

func (w *world) await(t testing.TB, client dynamic.ResourceInterface) {
	t.Helper()
	apiservertest.Eventually(t, func() bool {
		_, err := client.List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
}

// redefine changes a definition and waits until the change has been noticed by a probe.
func (w *world) redefine(t testing.TB, name string, change func(*apiextensionsv1.CustomResourceDefinitionSpec), noticed func() bool) {
	t.Helper()
	client := w.definitions.ApiextensionsV1().CustomResourceDefinitions()
	apiservertest.Eventually(t, func() bool {
		d, err := client.Get(t.Context(), "things."+name+".example.com", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(&d.Spec)
		_, err = client.Update(t.Context(), d, metav1.UpdateOptions{})
		return err == nil
	})
	apiservertest.Eventually(t, noticed)
}

// thing reads an object; its name is a unless it says otherwise.
func thing(t testing.TB, of, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{Object: *admittest.YAML[map[string]any](t, text)}
	obj.SetAPIVersion(of + ".example.com/v1")
	obj.SetKind("Thing")
	if obj.GetName() == "" {
		obj.SetName("a")
	}
	return obj
}

func create(t testing.TB, client dynamic.ResourceInterface, of, text string) (*unstructured.Unstructured, error) {
	t.Helper()
	return client.Create(t.Context(), thing(t, of, text), metav1.CreateOptions{})
}

// update puts text in the place of what is there.
func update(t testing.TB, client dynamic.ResourceInterface, of, text string) error {
	t.Helper()
	obj := thing(t, of, text)
	old, err := client.Get(t.Context(), obj.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	obj.SetResourceVersion(old.GetResourceVersion())
	_, err = client.Update(t.Context(), obj, metav1.UpdateOptions{})
	return err
}

// told says whether an error is what is wanted; "" wants none.
func told(err error, want string) bool {
	return err == nil && want == "" || err != nil && want != "" && strings.Contains(err.Error(), want)
}
