package dynamicadmission_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"dhow/api/admit/admittest"
	"dhow/apiserver/apiservertest"
)

// mutation registers a MutatingAdmissionPolicy and one binding, for one case.
func (w *world) mutation(t *testing.T, name, of, spec, binding string) {
	t.Helper()
	registered := w.Client.AdmissionregistrationV1()
	p := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *admittest.YAML[admissionv1.MutatingAdmissionPolicySpec](t, spec)}
	if p.Spec.MatchConstraints == nil {
		p.Spec.MatchConstraints = &admissionv1.MatchResources{ResourceRules: *admittest.YAML[[]admissionv1.NamedRuleWithOperations](t, configMaps)}
	}
	if p.Spec.ReinvocationPolicy == "" {
		p.Spec.ReinvocationPolicy = admissionv1.NeverReinvocationPolicy
	}
	if _, err := registered.MutatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *admittest.YAML[admissionv1.MutatingAdmissionPolicyBindingSpec](t, binding)}
	b.Spec.PolicyName = name
	if b.Spec.MatchResources == nil && of != "" {
		b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: ofCase(of)}
	}
	if _, err := registered.MutatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// settleMutations waits until the policies that were registered before are in force.
func (w *world) settleMutations(t *testing.T) {
	t.Helper()
	mark := w.mark()
	w.mutation(t, mark, "", `{mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: "remove", path: "/data/none"}]'}}]}`,
		`{matchResources: {objectSelector: {matchLabels: {mark: `+mark+`}}}}`)
	w.awaitDenial(t, mark)
}

func patches(expression string) string {
	return `{patchType: JSONPatch, jsonPatch: {expression: '` + expression + `'}}`
}

func applies(expression string) string {
	return `{patchType: ApplyConfiguration, applyConfiguration: {expression: '` + expression + `'}}`
}

// What mutating policies make of the same object, or why they refuse it.
func TestMutatingPoliciesChangeObjects(t *testing.T) {
	w := start(t)
	limit(t, w, "default", "p", "7")
	tests := map[string]struct{ spec, binding, data, refused string }{
		"apply":      {`mutations: [` + applies(`Object{data: {"b": object.metadata.name}}`) + `]`, `{}`, "a=x b=o", ""},
		"patch":      {`mutations: [` + patches(`[JSONPatch{op: "test", path: "/data/a", value: "x"}, JSONPatch{op: "replace", path: "/data/a", value: "y"}]`) + `]`, `{}`, "a=y", ""},
		"escaped":    {`mutations: [` + patches(`[JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("b.c"), value: "1"}]`) + `]`, `{}`, "a=x b.c=1", ""},
		"in-order":   {`mutations: [` + applies(`Object{data: {"b": "1"}}`) + `, ` + applies(`Object{data: {"c": object.data.b + "2"}}`) + `]`, `{}`, "a=x b=1 c=12", ""},
		"variables":  {`variables: [{name: v, expression: "object.data.a + object.data.a"}], mutations: [` + applies(`Object{data: {"b": variables.v}}`) + `]`, `{}`, "a=x b=xx", ""},
		"params":     {`paramKind: {apiVersion: v1, kind: ConfigMap}, mutations: [` + applies(`Object{data: {"b": params.data.most}}`) + `]`, `{paramRef: {name: p, namespace: default, parameterNotFoundAction: Deny}}`, "a=x b=7", ""},
		"no-params":  {`paramKind: {apiVersion: v1, kind: ConfigMap}, mutations: [` + applies(`Object{data: {"b": params.data.most}}`) + `]`, `{paramRef: {name: none, namespace: default, parameterNotFoundAction: Deny}}`, "", "no params found for policy binding with `Deny` parameterNotFoundAction"},
		"without":    {`paramKind: {apiVersion: v1, kind: ConfigMap}, mutations: [` + applies(`Object{data: {"b": params.data.most}}`) + `]`, `{paramRef: {name: none, namespace: default, parameterNotFoundAction: Allow}}`, "a=x", ""},
		"space":      {`mutations: [` + applies(`Object{data: {"b": namespaceObject.metadata.labels["case"]}}`) + `]`, `{}`, "a=x b=space", ""},
		"conditions": {`matchConditions: [{name: a, expression: "object.data.a == 'y'"}], mutations: [` + applies(`Object{data: {"b": ""}}`) + `]`, `{}`, "a=x", ""},
		"may":        {`mutations: [` + applies(`Object{data: {"b": string(authorizer.group("").resource("pods").check("get").allowed())}}`) + `]`, `{}`, "a=x b=true", ""},
		"breaks":     {`mutations: [` + patches(`[JSONPatch{op: "add", path: "/data/none/none", value: "z"}]`) + `]`, `{}`, "", "with binding 'breaks' denied request: "},
		"untested":   {`mutations: [` + patches(`[JSONPatch{op: "test", path: "/data/a", value: "z"}, JSONPatch{op: "remove", path: "/data/a"}]`) + `]`, `{}`, "a=x", ""},
		"ignored":    {`failurePolicy: Ignore, mutations: [` + applies(`Object{data: {"b": object.data.none}}`) + `]`, `{}`, "a=x", ""},
		"wrong":      {`mutations: [` + applies(`Object{data: {"b": object.data.none}}`) + `]`, `{}`, "", "no such key: none"},
		"bad-type":   {`mutations: [` + applies(`Object{data: {"b": 7}}`) + `]`, `{}`, "", "7"},
	}
	for name, test := range tests {
		w.mutation(t, name, name, `{`+test.spec+`}`, test.binding)
	}
	w.settleMutations(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := w.create(t, w.space(t, name), `{metadata: {name: o}, data: {a: x}}`)
			if err != nil || test.refused != "" {
				if err == nil || test.refused == "" || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got  %v\nwant %s", err, test.refused)
				}
				return
			}
			if got := sorted(m.Data); got != test.data {
				t.Errorf("made %s; want %s", got, test.data)
			}
		})
	}
}

func sorted(data map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(data)) {
		all = append(all, fmt.Sprintf("%s=%s", key, data[key]))
	}
	return strings.Join(all, " ")
}

// A policy that asks for it sees what others have changed behind it; another runs once. Which of two policies comes first is
// not laid down.
func TestMutatingPoliciesAreInvokedAgain(t *testing.T) {
	w := start(t)
	for _, policy := range []string{"IfNeeded", "Never"} {
		of := strings.ToLower(policy)
		looks := `Object{data: {"seen": "late" in object.data ? "late" : "early", "looks": ("looks" in object.data ? object.data.looks : "") + "x"}}`
		w.mutation(t, of+"-1", of, `{reinvocationPolicy: `+policy+`, mutations: [`+applies(looks)+`]}`, `{}`)
		w.mutation(t, of+"-2", of, `{mutations: [`+applies(`Object{data: {"late": "yes"}}`)+`]}`, `{}`)
	}
	w.mutating(t, "hook", "ifneeded", at("allow", ""))
	w.settleMutations(t)
	for of, want := range map[string]struct{ key, value string }{"ifneeded": {"seen", "late"}, "never": {"looks", "x"}} {
		m, err := w.create(t, w.space(t, of), `{metadata: {name: o}, data: {a: ""}}`)
		if err != nil || m.Data["late"] != "yes" || m.Data[want.key] != want.value {
			t.Errorf("%s made %s, %v; want %s %s", of, sorted(m.Data), err, want.key, want.value)
		}
	}
}

func TestCustomResourcesAreChangedByPolicies(t *testing.T) {
	w := start(t)
	w.addObject(t, definitions, limitDefinition)
	w.addObject(t, limits, `{apiVersion: example.com/v1, kind: Limit, metadata: {name: before}}`)
	w.mutation(t, "most", "", `{matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [limits]}]},
		mutations: [`+applies(`Object{most: 3}`)+`]}`, `{}`)
	client := dynamic.NewForConfigOrDie(w.Server.ClientConfig("system:admin", "system:masters")).Resource(limits)
	apiservertest.Eventually(t, func() bool {
		obj := &unstructured.Unstructured{Object: *admittest.YAML[map[string]any](t, `{apiVersion: example.com/v1, kind: Limit, metadata: {generateName: a-}}`)}
		made, err := client.Create(t.Context(), obj, metav1.CreateOptions{})
		return err == nil && made.Object["most"] == int64(3)
	})
}
