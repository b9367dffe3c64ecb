package customresources_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver/apiservertest"
)

// What schemas make of the objects that clients send: the rest of the object, or why it is refused.
func TestSchemasShapeObjects(t *testing.T) {
	w := start(t)
	for name, test := range map[string]struct{ schema, object, want string }{
		"pruned":     {sized, `{size: 1, color: red}`, `{"size":1}`},
		"kept":       {`{type: object, x-kubernetes-preserve-unknown-fields: true}`, `{any: {thing: [1, {b: 2}]}}`, `{"any":{"thing":[1,{"b":2}]}}`},
		"kept-below": {`{type: object, properties: {raw: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {in: {type: object, properties: {a: {type: string}}}}}}}`, `{raw: {free: 1, in: {a: b, c: d}}, gone: 1}`, `{"raw":{"free":1,"in":{"a":"b"}}}`},
		"embedded":   {`{type: object, properties: {template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}}}`, `{template: {apiVersion: v1, kind: Pod, metadata: {name: x, nonsense: 1}, spec: {a: 1}}}`, `{"template":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"a":1}}}`},
		"unnamed":    {`{type: object, properties: {template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}}}`, `{template: {spec: {}}}`, `template.apiVersion: Required value`},
		"default":    {`{type: object, properties: {size: {type: integer, default: 7}, spec: {type: object, default: {}, properties: {color: {type: string, default: red}}}}}`, `{}`, `{"size":7,"spec":{"color":"red"}}`},
		"null":       {`{type: object, properties: {size: {type: integer, default: 7}, color: {type: string, nullable: true, default: red}}}`, `{size: null, color: null}`, `{"color":null,"size":7}`},
		"either":     {`{type: object, properties: {port: {x-kubernetes-int-or-string: true}}}`, `{port: http}`, `{"port":"http"}`},
		"neither":    {`{type: object, properties: {port: {x-kubernetes-int-or-string: true}}}`, `{port: 1.5}`, `port: Invalid value: "number": port in body must be of type integer,string: "number"`},
		"type":       {sized, `{size: large}`, `size: Invalid value: "string": size in body must be of type integer: "string"`},
		"enum":       {`{type: object, properties: {color: {type: string, enum: [red, blue]}}}`, `{color: green}`, `color: Unsupported value: "green": supported values: "red", "blue"`},
		"pattern":    {`{type: object, properties: {color: {type: string, pattern: "^r"}}}`, `{color: green}`, `color: Invalid value: "green": color in body should match '^r'`},
		"required":   {`{type: object, required: [size], properties: {size: {type: integer}}}`, `{}`, `size: Required value`},
		"one-of":     {`{type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: [a]}, {required: [b]}]}`, `{a: "", b: ""}`, `must validate one and only one schema (oneOf)`},
		"set":        {`{type: object, properties: {list: {type: array, x-kubernetes-list-type: set, items: {type: string}}}}`, `{list: [a, a]}`, `list[1]: Duplicate value: "a"`},
		"metadata":   {`{type: object, properties: {metadata: {type: object, properties: {name: {type: string, maxLength: 3}}}}}`, `{metadata: {name: long}}`, `metadata.name: Too long: may not be more than 3 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := create(t, w.serve(t, name, test.schema), name, test.object)
			if err != nil || !strings.HasPrefix(test.want, "{") {
				if !told(err, test.want) {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
				return
			}
			for _, key := range []string{"apiVersion", "kind", "metadata"} {
				delete(made.Object, key)
			}
			if got, _ := json.Marshal(made.Object); string(got) != test.want {
				t.Errorf("made %s; want %s", got, test.want)
			}
		})
	}
}

func TestUnknownFieldsAreRefusedIfTheClientWants(t *testing.T) {
	w := start(t)
	client := w.serve(t, "strict", sized)
	_, err := client.Create(t.Context(), thing(t, "strict", `{size: 1, color: red, metadata: {name: a, nonsense: 1}}`), metav1.CreateOptions{FieldValidation: "Strict"})
	if !told(err, `unknown field "color"`) || !told(err, `unknown field "metadata.nonsense"`) {
		t.Errorf("got %v", err)
	}
}

const parts = `{names: {shortNames: [th], categories: [all, stuff]}, versions: [{name: v1, served: true, storage: true,
	schema: {openAPIV3Schema: {type: object, description: A thing., properties: {
		spec: {type: object, properties: {replicas: {type: integer, description: How many.}, color: {type: string}, ports: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: {type: object, required: [name], properties: {name: {type: string}, number: {type: integer}}}}}},
		status: {type: object, properties: {replicas: {type: integer}, selector: {type: string}, phase: {type: string}}}}}},
	subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}},
	selectableFields: [{jsonPath: .spec.color}],
	additionalPrinterColumns: [{name: Color, type: string, jsonPath: .spec.color}, {name: Replicas, type: integer, jsonPath: .spec.replicas, priority: 1, description: How many.}, {name: Age, type: date, jsonPath: .metadata.creationTimestamp}]}]}`

func TestStatusAndScaleAreApart(t *testing.T) {
	w := start(t)
	client := w.serve(t, "parts", parts)
	made, err := create(t, client, "parts", `{spec: {replicas: 2}, status: {phase: Done}}`)
	if err != nil || made.Object["status"] != nil || made.GetGeneration() != 1 {
		t.Fatalf("made %v, %v", made, err)
	}
	made.Object["spec"] = map[string]any{"replicas": int64(9)}
	made.Object["status"] = map[string]any{"phase": "Done", "replicas": int64(1), "selector": "app=x"}
	made, err = client.UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	phase, _, _ := unstructured.NestedString(made.Object, "status", "phase")
	replicas, _, _ := unstructured.NestedInt64(made.Object, "spec", "replicas")
	if phase != "Done" || replicas != 2 || made.GetGeneration() != 1 {
		t.Errorf("its status was written: %v", made)
	}
	scale, err := client.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec": {"replicas": 5}}`), metav1.PatchOptions{}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	spec, status := scale.Object["spec"], scale.Object["status"]
	if got, _ := json.Marshal([]any{scale.GetKind(), spec, status}); string(got) != `["Scale",{"replicas":5},{"replicas":1,"selector":"app=x"}]` {
		t.Errorf("scaled to %s", got)
	}
	made, err = client.Get(t.Context(), "a", metav1.GetOptions{})
	replicas, _, _ = unstructured.NestedInt64(made.Object, "spec", "replicas")
	if err != nil || replicas != 5 || made.GetGeneration() != 2 {
		t.Errorf("scaled: %v, %v", made, err)
	}
}

func TestSelectableFieldsSelect(t *testing.T) {
	w := start(t)
	client := w.serve(t, "select", parts)
	red := metav1.ListOptions{FieldSelector: "spec.color=red"}
	watch, err := client.Watch(t.Context(), red)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	for name, color := range map[string]string{"a": "red", "b": "blue", "c": "red"} {
		if _, err := create(t, client, "select", `{metadata: {name: `+name+`}, spec: {color: `+color+`}}`); err != nil {
			t.Fatal(err)
		}
	}
	list, err := client.List(t.Context(), red)
	if err != nil || len(list.Items) != 2 {
		t.Errorf("listed %v, %v", list, err)
	}
	for range 2 {
		if e := <-watch.ResultChan(); e.Type != "ADDED" || e.Object.(*unstructured.Unstructured).GetName() == "b" {
			t.Errorf("watched %v", e)
		}
	}
	if err := update(t, client, "select", `{spec: {color: blue}}`); err != nil {
		t.Fatal(err)
	}
	if e := <-watch.ResultChan(); e.Type != "DELETED" || e.Object.(*unstructured.Unstructured).GetName() != "a" {
		t.Errorf("what no longer matches is %v", e)
	}
	if _, err := client.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.replicas=1"}); !told(err, "field label not supported: spec.replicas") {
		t.Errorf("got %v", err)
	}
}

func TestColumnsNamesAndCategoriesAreShown(t *testing.T) {
	w := start(t)
	client := w.serve(t, "shown", parts)
	if _, err := create(t, client, "shown", `{spec: {color: red, replicas: 3}}`); err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	text, err := w.Client.Discovery().RESTClient().Get().AbsPath("/apis/shown.example.com/v1/namespaces/default/things").
		SetHeader("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1").DoRaw(t.Context())
	if err != nil || json.Unmarshal(text, table) != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, c := range table.ColumnDefinitions {
		columns = append(columns, c.Name)
	}
	if !slices.Equal(columns, []string{"Name", "Color", "Replicas", "Age"}) || table.ColumnDefinitions[2].Priority != 1 || len(table.Rows) != 1 ||
		table.Rows[0].Cells[1] != "red" || table.Rows[0].Cells[2] != float64(3) {
		t.Errorf("shown as %v, %+v", columns, table.Rows)
	}
	apiservertest.Eventually(t, func() bool {
		list, err := w.Client.Discovery().ServerResourcesForGroupVersion("shown.example.com/v1")
		if err != nil || len(list.APIResources) != 3 {
			return false
		}
		r := list.APIResources[0]
		return r.Name == "things" && slices.Equal(r.ShortNames, []string{"th"}) && slices.Equal(r.Categories, []string{"all", "stuff"}) &&
			list.APIResources[1].Name == "things/status" && list.APIResources[2].Kind == "Scale"
	})
}

func TestAppliedListsOfCustomResourcesAreMergedByKey(t *testing.T) {
	w := start(t)
	client := w.serve(t, "apply", parts)
	apply := func(as, ports string) (*unstructured.Unstructured, error) {
		return client.Apply(t.Context(), "a", thing(t, "apply", `{spec: {ports: [`+ports+`]}}`), metav1.ApplyOptions{FieldManager: as})
	}
	if _, err := apply("one", `{name: a, number: 1}`); err != nil {
		t.Fatal(err)
	}
	made, err := apply("two", `{name: b, number: 2}`)
	if err != nil {
		t.Fatal(err)
	}
	if ports, _, _ := unstructured.NestedSlice(made.Object, "spec", "ports"); len(ports) != 2 {
		t.Errorf("two managers' ports are %v", ports)
	}
	if _, err := apply("two", `{name: a, number: 2}`); !told(err, `conflict with "one": .spec.ports[name="a"].number`) {
		t.Errorf("a conflict is told as %v", err)
	}
	made, err = apply("two", "")
	if ports, _, _ := unstructured.NestedSlice(made.Object, "spec", "ports"); err != nil || len(ports) != 1 {
		t.Errorf("what one manager gives up leaves %v, %v", ports, err)
	}
}

// What kubectl explain reads.
func TestFieldsAreDescribed(t *testing.T) {
	w := start(t)
	w.serve(t, "explain", parts)
	for path, want := range map[string]string{
		"/openapi/v3/apis/explain.example.com/v1": `"replicas":{"description":"How many.","type":"integer"}`,
		"/openapi/v2": `"com.example.explain.v1.Thing":{"description":"A thing."`,
	} {
		apiservertest.Eventually(t, func() bool {
			text, err := w.Client.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(t.Context())
			return err == nil && strings.Contains(string(text), want)
		})
	}
}
