package customresources_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	migrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/storageversionmigration"
)

// converter is a conversion webhook: what v1 calls size, v2 calls length.
type converter struct {
	*httptest.Server
	asked atomic.Int32
	// spoil changes what it would answer.
	spoil atomic.Pointer[func(*apiextensionsv1.ConversionResponse)]
}

func newConverter(t *testing.T) *converter {
	t.Helper()
	c := &converter{}
	c.Server = httptest.NewTLSServer(c)
	t.Cleanup(c.Close)
	return c
}

// ServeHTTP implements http.Handler.
func (c *converter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	var review apiextensionsv1.ConversionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response := &apiextensionsv1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	for _, raw := range review.Request.Objects {
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(raw.Raw); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		from, to := "length", "size"
		if strings.HasSuffix(review.Request.DesiredAPIVersion, "/v2") {
			from, to = to, from
		}
		if value, has := obj.Object[from]; has {
			obj.Object[to] = value
			delete(obj.Object, from)
		}
		obj.SetAPIVersion(review.Request.DesiredAPIVersion)
		response.ConvertedObjects = append(response.ConvertedObjects, runtime.RawExtension{Object: obj})
	}
	if spoil := c.spoil.Load(); spoil != nil {
		(*spoil)(response)
	}
	review.Request, review.Response = nil, response
	json.NewEncoder(w).Encode(review)
}

// definition has two versions, the first of which is stored.
func (c *converter) definition() string {
	bundle, _ := json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
	return `{conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {url: "` + c.URL + `", caBundle: ` + string(bundle) + `}}}, versions: [
		{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {size: {type: integer}}}}},
		{name: v2, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {length: {type: integer}}}}}]}`
}

func TestVersionsAreConvertedByAWebhook(t *testing.T) {
	t.Parallel()
	w, c := start(t), newConverter(t)
	one := w.serve(t, "convert", c.definition())
	two := w.things("convert", "v2")
	if _, err := create(t, one, "convert", `{size: 5}`); err != nil {
		t.Fatal(err)
	}
	got, err := two.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || got.Object["length"] != int64(5) || got.Object["size"] != nil {
		t.Fatalf("v2 shows %v, %v", got, err)
	}
	got.Object["length"] = int64(6)
	if _, err := two.Update(t.Context(), got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := one.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Object["size"] != int64(6) {
		t.Errorf("v1 shows %v, %v", list, err)
	}
}

// What is wrong with a conversion is told, and nothing of it is believed.
func TestConversionsThatFail(t *testing.T) {
	t.Parallel()
	w, c := start(t), newConverter(t)
	one, two := w.serve(t, "fail", c.definition()), w.things("fail", "v2")
	if _, err := create(t, one, "fail", `{size: 5, metadata: {labels: {a: b}}}`); err != nil {
		t.Fatal(err)
	}
	object := func(r *apiextensionsv1.ConversionResponse) *unstructured.Unstructured {
		return r.ConvertedObjects[0].Object.(*unstructured.Unstructured)
	}
	for name, test := range map[string]struct {
		spoil func(*apiextensionsv1.ConversionResponse)
		want  string
	}{
		"refused": {func(r *apiextensionsv1.ConversionResponse) {
			r.Result = metav1.Status{Status: metav1.StatusFailure, Message: "cannot measure"}
		}, "conversion webhook for fail.example.com/v1, Kind=Thing failed: cannot measure"},
		"lost":    {func(r *apiextensionsv1.ConversionResponse) { r.ConvertedObjects = nil }, "returned 0 objects, expected 1"},
		"version": {func(r *apiextensionsv1.ConversionResponse) { object(r).SetAPIVersion("fail.example.com/v1") }, "invalid groupVersion (expected fail.example.com/v2, received fail.example.com/v1)"},
		"name":    {func(r *apiextensionsv1.ConversionResponse) { object(r).SetName("b") }, "must have the same name: a != b"},
		"uid":     {func(r *apiextensionsv1.ConversionResponse) { r.UID = "other" }, `expected response.uid=`},
		"schema":  {func(r *apiextensionsv1.ConversionResponse) { object(r).Object["length"] = "long" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.spoil.Store(&test.spoil)
			defer c.spoil.Store(nil)
			if _, err := two.Get(t.Context(), "a", metav1.GetOptions{}); !told(err, test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	meddle := func(r *apiextensionsv1.ConversionResponse) {
		object(r).SetResourceVersion("1")
		object(r).SetFinalizers([]string{"example.com/x"})
		object(r).SetLabels(map[string]string{"c": "d"})
	}
	c.spoil.Store(&meddle)
	got, err := two.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || got.GetResourceVersion() == "1" || len(got.GetFinalizers()) > 0 || got.GetLabels()["c"] != "d" {
		t.Errorf("only labels and annotations may change: %v, %v", got, err)
	}
	c.Close()
	if _, err := two.Get(t.Context(), "a", metav1.GetOptions{}); !told(err, "conversion webhook for fail.example.com/v1, Kind=Thing failed: Post ") {
		t.Errorf("a webhook that has gone is told as %v", err)
	}
	if _, err := one.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Errorf("the version that is stored needs none: %v", err)
	}
}

func TestMigrationStoresObjectsInTheNewVersion(t *testing.T) {
	t.Parallel()
	w, c := start(t), newConverter(t)
	controllertest.Run(t, controllertest.On{Client: w.Client, Informers: w.Informers}, storageversionmigration.Controller())
	one, two := w.serve(t, "move", c.definition()), w.things("move", "v2")
	if _, err := create(t, one, "move", `{size: 5}`); err != nil {
		t.Fatal(err)
	}
	asks := func(name string) bool { // Get reads what is stored
		before := c.asked.Load()
		if _, err := two.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		return c.asked.Load() > before
	}
	w.redefine(t, "move", func(s *apiextensionsv1.CustomResourceDefinitionSpec) {
		s.Versions[0].Storage, s.Versions[1].Storage = false, true
	}, func() bool {
		made, err := create(t, one, "move", `{metadata: {name: b}, size: 1}`)
		if err != nil {
			return false
		}
		defer one.Delete(t.Context(), made.GetName(), metav1.DeleteOptions{})
		return !asks(made.GetName())
	})
	if !asks("a") {
		t.Fatal("the object was stored in the new version before it was written")
	}
	job := &migrationv1.StorageVersionMigration{ObjectMeta: metav1.ObjectMeta{Name: "m"}}
	job.Spec.Resource = metav1.GroupResource{Group: "move.example.com", Resource: "things"}
	jobs := w.Client.StoragemigrationV1().StorageVersionMigrations()
	if _, err := jobs.Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		got, err := jobs.Get(t.Context(), "m", metav1.GetOptions{})
		return err == nil && meta.IsStatusConditionTrue(got.Status.Conditions, string(migrationv1.MigrationSucceeded))
	})
	apiservertest.Eventually(t, func() bool { return !asks("a") }) // once the watch caches, too, have had their events converted
}

func TestADefinitionGoesWhenItsObjectsHaveGone(t *testing.T) {
	t.Parallel() // the library looks every five seconds
	w := start(t)
	client := w.serve(t, "gone", sized)
	if _, err := create(t, client, "gone", `{metadata: {name: a, finalizers: [example.com/stay]}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := create(t, client, "gone", `{metadata: {name: b}}`); err != nil {
		t.Fatal(err)
	}
	definitions := w.definitions.ApiextensionsV1().CustomResourceDefinitions()
	if err := definitions.Delete(t.Context(), "things.gone.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		list, err := client.List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		return list.Items[0].GetName() == "a" && list.Items[0].GetDeletionTimestamp() != nil
	})
	if _, err := create(t, client, "gone", `{metadata: {name: c}}`); !told(err, "create not allowed while custom resource definition is terminating") {
		t.Errorf("while it goes, a create is told %v", err)
	}
	if _, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		_, err := definitions.Get(t.Context(), "things.gone.example.com", metav1.GetOptions{})
		return err != nil
	})
}
