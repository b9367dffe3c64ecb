package apiserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver/apiservertest"
)

// answer is what a server says to one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request over HTTPS as the administrator, with headers as "Name: value".
func ask(t *testing.T, c *apiservertest.Cluster, method, path, body string, headers ...string) answer {
	t.Helper()
	client, err := restclient.HTTPClientFor(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(c.Context, method, c.Config.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

const maps = "/api/v1/namespaces/default/configmaps"

func TestRequestsAreAnsweredAsUpstreamAnswers(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("there"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const small = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"}%s}`
	tests := map[string]struct {
		method, path, body string
		headers            []string
		status             int
		want               string // in the body, or in the headers' text
	}{
		"unknown path":           {"GET", "/nothing", "", nil, 404, "404 page not found"},
		"unknown resource":       {"GET", "/api/v1/nothings", "", nil, 404, "the server could not find the requested resource"},
		"unknown group":          {"GET", "/apis/no.such.group/v1/things", "", nil, 404, "404 page not found"},
		"method of a collection": {"PUT", maps, "{}", nil, 405, "the server does not allow this method on the requested resource"},
		"method of an object":    {"POST", maps + "/there", "{}", nil, 405, "the server does not allow this method on the requested resource"},
		"unknown method":         {"OPTIONS", maps + "/there", "", nil, 405, ""},
		"head of an object":      {"HEAD", maps + "/there", "", nil, 405, ""},
		"not acceptable":         {"GET", maps + "/there", "", []string{"Accept: image/png"}, 406, "Not Acceptable"},
		"cbor is off":            {"GET", maps + "/there", "", []string{"Accept: application/cbor"}, 406, "application/vnd.kubernetes.protobuf"},
		"not supported":          {"POST", maps, "x", []string{"Content-Type: image/png"}, 415, "the body of the request was in an unknown format - accepted media types include"},
		"patch not supported":    {"PATCH", maps + "/there", "{}", nil, 415, "Unsupported Media Type"},
		"yaml":                   {"POST", maps, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: why}", []string{"Content-Type: application/yaml", "Accept: application/yaml"}, 201, "name: why\n"},
		"wrong kind":             {"POST", maps, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"k"}}`, nil, 400, "cannot be handled as a ConfigMap"},
		"wrong version":          {"POST", maps, `{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"k"}}`, nil, 400, "no kind \\\"ConfigMap\\\" is registered for version \\\"v2\\\""},
		"name differs":           {"PUT", maps + "/there", fmt.Sprintf(small, "other", ""), nil, 400, "the name of the object (other) does not match the name on the URL (there)"},
		"namespace differs":      {"POST", maps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"k","namespace":"other"}}`, nil, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"no such object":         {"GET", maps + "/nobody", "", nil, 404, `configmaps \"nobody\" not found`},
		"no such namespace":      {"GET", "/api/v1/namespaces/none/configmaps", "", nil, 200, `"items":[]`},
		"exists":                 {"POST", maps, fmt.Sprintf(small, "there", ""), nil, 409, `configmaps \"there\" already exists`},
		"no name":                {"POST", maps, `{"apiVersion":"v1","kind":"ConfigMap"}`, nil, 422, "name or generateName is required"},
		"bad JSON":               {"POST", maps, "{", nil, 400, "unexpected end of JSON input"},
		"unknown field ignored":  {"POST", maps + "?fieldValidation=Ignore", fmt.Sprintf(small, "f1", `,"nonsense":1`), nil, 201, ""},
		"unknown field warned":   {"POST", maps, fmt.Sprintf(small, "f2", `,"nonsense":1`), nil, 201, `299 - "unknown field \"nonsense\""`},
		"unknown field strict":   {"POST", maps + "?fieldValidation=Strict", fmt.Sprintf(small, "f3", `,"nonsense":1`), nil, 400, `strict decoding error: unknown field \"nonsense\"`},
		"field twice":            {"POST", maps + "?fieldValidation=Strict", fmt.Sprintf(small, "f4", `,"data":{"a":"1","a":"2"}`), nil, 400, `duplicate field \"data.a\"`},
		"strict patch":           {"PATCH", maps + "/there?fieldValidation=Strict", `{"nonsense":1}`, []string{"Content-Type: application/merge-patch+json"}, 422, `strict decoding error: unknown field \"nonsense\"`},
		"field validation":       {"POST", maps + "?fieldValidation=Maybe", fmt.Sprintf(small, "f5", ""), nil, 422, `supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"`},
		"dry run":                {"POST", maps + "?dryRun=Some", fmt.Sprintf(small, "d", ""), nil, 422, `dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"`},
		"pretty":                 {"GET", maps + "/there?pretty=true", "", nil, 200, "{\n  \"kind\": \"ConfigMap\""},
		"pretty for curl":        {"GET", maps + "/there", "", []string{"User-Agent: curl/8"}, 200, "{\n  \"kind\": \"ConfigMap\""},
		"field selector":         {"GET", maps + "?fieldSelector=data.a%3D1", "", nil, 400, "field label not supported: data.a"},
		"bad field selector":     {"GET", maps + "?fieldSelector=a", "", nil, 400, "invalid selector: 'a'; can't understand 'a'"},
		"bad label selector":     {"GET", maps + "?labelSelector=a+in", "", nil, 400, "unable to parse requirement"},
		"bad continue":           {"GET", maps + "?continue=nonsense", "", nil, 400, "continue key is not valid"},
		"bad version match":      {"GET", maps + "?resourceVersionMatch=Exact", "", nil, 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"},
		"bad version":            {"GET", maps + "?resourceVersion=x", "", nil, 400, "resourceVersion"},
		"watch with list option": {"GET", maps + "?watch=1&sendInitialEvents=true", "", nil, 422, "resourceVersionMatch"},
		"precondition":           {"DELETE", maps + "/there", `{"preconditions":{"uid":"nonsense"}}`, nil, 409, "the UID in the precondition (nonsense) does not match the UID in record"},
		"orphan and policy":      {"DELETE", maps + "/there", `{"orphanDependents":true,"propagationPolicy":"Orphan"}`, nil, 422, "orphanDependents and deletionPropagation cannot be both set"},
		"bad policy":             {"DELETE", maps + "/there", `{"propagationPolicy":"Somehow"}`, nil, 422, `supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"`},
		"apply needs a manager":  {"PATCH", maps + "/there", "{}", []string{"Content-Type: application/apply-patch+yaml"}, 422, "is required for apply patch"},
		"force needs apply":      {"PATCH", maps + "/there?force=true", "{}", []string{"Content-Type: application/merge-patch+json"}, 422, "may not be specified for non-apply patch"},
		"too long a patch":       {"PATCH", maps + "/there", "[" + strings.Repeat(`{"op":"test","path":"/kind","value":"ConfigMap"},`, 10001) + `{"op":"test","path":"/kind","value":"ConfigMap"}]`, []string{"Content-Type: application/json-patch+json"}, 413, "The allowed maximum operations in a JSON patch is 10000, got 10002"},
		"bad json patch":         {"PATCH", maps + "/there", `[{"op":"remove","path":"/nowhere"}]`, []string{"Content-Type: application/json-patch+json"}, 422, "the server rejected our request due to an error in our request"},
		"too large":              {"POST", maps, fmt.Sprintf(small, "big", `,"data":{"a":"`+strings.Repeat("x", 4<<20)+`"}`), nil, 413, "limit is 3145728"},
		"table":                  {"GET", maps + "/there", "", []string{"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}, 200, `"object":{"kind":"PartialObjectMetadata"`},
		"table with objects":     {"GET", maps + "/there?includeObject=Object", "", []string{"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}, 200, `"object":{"kind":"ConfigMap"`},
		"table without objects":  {"GET", maps + "/there?includeObject=None", "", []string{"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}, 200, `"object":null`},
		"table of old":           {"GET", maps + "/there", "", []string{"Accept: application/json;as=Table;v=v1alpha1;g=meta.k8s.io"}, 406, ""},
		"metadata":               {"GET", maps, "", []string{"Accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}, 200, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"`},
		"discovery v2":           {"GET", "/apis", "", []string{"Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}, 200, `"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2"`},
		"discovery v2beta1":      {"GET", "/apis", "", []string{"Accept: application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"}, 200, `"kind":"APIGroupList"`},
		"discovery of old":       {"GET", "/api", "", nil, 200, `"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs"`},
		"discovery of a version": {"GET", "/api/v1", "", nil, 200, `"storageVersionHash":`},
		"discovery of none":      {"GET", "/apis/no.such.group", "", nil, 404, "404 page not found"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ask(t, c, test.method, test.path, test.body, test.headers...)
			var headers bytes.Buffer
			_ = got.header.Write(&headers)
			if got.status != test.status || !strings.Contains(got.body, test.want) && !strings.Contains(headers.String(), test.want) {
				t.Errorf("status %d, want %d with %s:\n%.1000s\n%s", got.status, test.status, test.want, got.body, headers.String())
			}
		})
	}
}

func TestLargeAnswersArePacked(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	large := configMap("large")
	large.Data["a"] = strings.Repeat("x", 200<<10)
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, large, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, c, "GET", maps+"/large", "", "Accept-Encoding: gzip"); got.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes with %v", len(got.body), got.header)
	}
	if got := ask(t, c, "GET", maps+"/none", "", "Accept-Encoding: gzip"); got.header.Get("Content-Encoding") != "" {
		t.Errorf("a small answer has %v", got.header)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, ctx, all := c.Client.CoreV1().ConfigMaps("default"), c.Context, []string{metav1.DryRunAll}
	kept, err := client.Create(ctx, configMap("kept"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.Create(ctx, configMap("made"), metav1.CreateOptions{DryRun: all})
	if err != nil || made.UID == "" || made.ResourceVersion != "" {
		t.Errorf("created: %+v, %v", made, err)
	}
	changed := kept.DeepCopy()
	changed.Data["a"] = "2"
	if got, err := client.Update(ctx, changed, metav1.UpdateOptions{DryRun: all}); err != nil || got.Data["a"] != "2" {
		t.Errorf("updated: %v, %v", got, err)
	}
	for kind, patch := range map[types.PatchType]string{
		types.MergePatchType: `{"data":{"a":"2"}}`, types.StrategicMergePatchType: `{"data":{"a":"2"}}`,
		types.JSONPatchType: `[{"op":"replace","path":"/data/a","value":"2"}]`, types.ApplyYAMLPatchType: `{"apiVersion":"v1","kind":"ConfigMap","data":{"b":"2"}}`,
	} {
		if _, err := client.Patch(ctx, "kept", kind, []byte(patch), metav1.PatchOptions{DryRun: all, FieldManager: "me"}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := client.Delete(ctx, "kept", metav1.DeleteOptions{DryRun: all}); err != nil {
		t.Error(err)
	}
	if err := client.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: all}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(m corev1.ConfigMap) bool { return m.Name == "kube-root-ca.crt" })
	if len(list.Items) != 1 || list.Items[0].ResourceVersion != kept.ResourceVersion {
		t.Errorf("there are %v", list.Items)
	}
}

func TestListsComeInChunks(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, ctx := c.Client.CoreV1().ConfigMaps("default"), c.Context
	for i := range 10 {
		m := configMap(fmt.Sprintf("m%d", i))
		m.Labels = map[string]string{"of": "chunks"}
		if _, err := client.Create(ctx, m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	options := metav1.ListOptions{Limit: 4}
	var names []string
	var version string
	for n := 0; ; n++ {
		list, err := client.List(ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		if version != "" && list.ResourceVersion != version {
			t.Errorf("the version is %s, then %s", version, list.ResourceVersion)
		}
		version = list.ResourceVersion
		for _, m := range list.Items {
			names = append(names, m.Name)
		}
		if list.Continue == "" {
			break
		}
		if list.RemainingItemCount == nil || int(*list.RemainingItemCount)+len(names) != 10 {
			t.Errorf("remaining: %v", list.RemainingItemCount)
		}
		if n == 0 { // what is made meanwhile is not in the list
			if _, err := client.Create(ctx, configMap("m9-late"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		options.Continue = list.Continue
	}
	if len(names) != 10 || !slices.IsSorted(names) {
		t.Errorf("listed %v", names)
	}
	selected, err := client.List(ctx, metav1.ListOptions{Limit: 4, LabelSelector: "of=chunks"})
	if err != nil || selected.RemainingItemCount != nil || selected.Continue == "" {
		t.Errorf("with a selector: %+v, %v", selected.ListMeta, err)
	}
}

func TestGeneratedNamesThatAreTakenAreTriedAgain(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	made, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: strings.Repeat("x", 300)}}, metav1.CreateOptions{})
	if err == nil {
		t.Fatalf("made %s", made.Name)
	}
	made, err = c.Client.CoreV1().ConfigMaps("default").Create(c.Context, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-"}}, metav1.CreateOptions{})
	if err != nil || !strings.HasPrefix(made.Name, "web-") || len(made.Name) != len("web-")+5 {
		t.Errorf("made %v, %v", made, err)
	}
}

func TestUpdatesAreChecked(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, ctx := c.Client.CoreV1().ConfigMaps("default"), c.Context
	first, err := client.Create(ctx, configMap("m"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second := first.DeepCopy()
	second.Data["b"] = "1"
	if _, err := client.Update(ctx, second, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	stale := first.DeepCopy()
	stale.Data["c"] = "1"
	if _, err := client.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "the object has been modified; please apply your changes to the latest version and try again") {
		t.Errorf("a stale update: %v", err)
	}
	stale.ResourceVersion, stale.UID = "", "other"
	if _, err := client.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "Precondition failed: UID in precondition: other") {
		t.Errorf("an update of another: %v", err)
	}
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": first.ResourceVersion}, "data": map[string]string{"d": "1"}})
	if _, err := client.Patch(ctx, "m", types.MergePatchType, patch, metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale patch: %v", err)
	}
	same, err := client.Patch(ctx, "m", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.Patch(ctx, "m", types.MergePatchType, []byte(`{"data":{"b":"1"}}`), metav1.PatchOptions{})
	if err != nil || again.ResourceVersion != same.ResourceVersion {
		t.Errorf("a patch that changes nothing: version %s, then %s, %v", same.ResourceVersion, again.ResourceVersion, err)
	}
}

func TestFinalizersKeepObjects(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, ctx := c.Client.CoreV1().ConfigMaps("default"), c.Context
	m := configMap("m")
	m.Finalizers = []string{"example.com/mine"}
	if _, err := client.Create(ctx, m, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(ctx, "m", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(ctx, "m", metav1.GetOptions{})
	if err != nil || got.DeletionTimestamp == nil {
		t.Fatalf("after its deletion: %+v, %v", got, err)
	}
	if _, err := client.Patch(ctx, "m", types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/mine","example.com/more"]}}`), metav1.PatchOptions{}); err == nil {
		t.Error("one more finalizer after the deletion")
	}
	if _, err := client.Patch(ctx, "m", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(ctx, "m", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without finalizers: %v", err)
	}
}
