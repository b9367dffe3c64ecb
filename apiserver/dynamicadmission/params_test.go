package dynamicadmission_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"dhow/api/admit/admittest"
	"dhow/apiserver/apiservertest"
)

const limited = `{paramKind: {apiVersion: v1, kind: ConfigMap}, validations: [{expression: "params == null || object.data.size() <= int(params.data.most)", messageExpression: "'at most ' + params.data.most + ' of ' + params.metadata.name"}]}`

func limit(t *testing.T, w *world, ns, name, most string) *corev1.ConfigMap {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"limit": name}}, Data: map[string]string{"most": most}}
	m, err := w.Client.CoreV1().ConfigMaps(ns).Create(t.Context(), m, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool { // policies read it there
		_, err := w.configMaps.ConfigMaps(ns).Get(name)
		return err == nil
	})
	return m
}

func TestPoliciesTakeParameters(t *testing.T) {
	w := start(t)
	limit(t, w, "default", "one", "1")
	limit(t, w, "default", "two", "2")
	for name, test := range map[string]struct{ binding, want string }{
		"named":     {`{validationActions: [Deny], paramRef: {name: one, namespace: default, parameterNotFoundAction: Deny}}`, "denied request: at most 1 of one"},
		"wide":      {`{validationActions: [Deny], paramRef: {name: two, namespace: default, parameterNotFoundAction: Deny}}`, ""},
		"selected":  {`{validationActions: [Deny], paramRef: {namespace: default, selector: {matchExpressions: [{key: limit, operator: In, values: [one, two]}]}, parameterNotFoundAction: Deny}}`, "denied request: at most 1 of one"},
		"missing":   {`{validationActions: [Deny], paramRef: {name: none, namespace: default, parameterNotFoundAction: Deny}}`, "denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"},
		"allowed":   {`{validationActions: [Deny], paramRef: {name: none, namespace: default, parameterNotFoundAction: Allow}}`, ""},
		"unmatched": {`{validationActions: [Deny], paramRef: {namespace: default, selector: {matchLabels: {limit: none}}, parameterNotFoundAction: Deny}}`, "no params found for policy binding with `Deny` parameterNotFoundAction"},
		"without":   {`{validationActions: [Deny]}`, ""},
		"local":     {`{validationActions: [Deny], paramRef: {name: here, parameterNotFoundAction: Deny}}`, "denied request: at most 0 of here"},
		"elsewhere": {`{validationActions: [Deny], paramRef: {name: one, parameterNotFoundAction: Deny}}`, "no params found for policy binding with `Deny` parameterNotFoundAction"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := w.space(t, name)
			limit(t, w, ns, "here", "0")
			w.policy(t, name, limited, test.binding)
			_, err := w.create(t, ns, `{metadata: {name: a}, data: {a: "", b: ""}}`)
			admittest.Check(t, err, test.want)
		})
	}
}

// Kinds that nothing else in the process follows are followed for policies, and go on to be when one policy goes.
func TestParametersAreFollowed(t *testing.T) {
	w := start(t)
	ns := w.space(t, "follow")
	binding := `{validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {case: follow}}}, paramRef: {name: most, namespace: default, parameterNotFoundAction: Deny}}`

	// Secrets' data are Base64.
	spec := `{paramKind: {apiVersion: v1, kind: Secret}, validations: [{expression: "object.data.size() <= (params.data.most == 'MQ==' ? 1 : 2)", message: too many}]}`
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "most"}, Data: map[string][]byte{"most": []byte("1")}}
	secrets := w.Client.CoreV1().Secrets("default")
	s, err := secrets.Create(t.Context(), s, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	registered := w.Client.AdmissionregistrationV1()
	for _, name := range []string{"before", "after"} { // the second finds what the first has left
		w.policy(t, name, spec, binding)
		apiservertest.Eventually(t, func() bool { // the parameter has been seen
			_, err := w.create(t, ns, `{metadata: {generateName: a-}, data: {a: "", b: ""}}`)
			return err != nil && strings.HasSuffix(err.Error(), "denied request: too many")
		})
		s.Data["most"] = []byte("2")
		if s, err = secrets.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		apiservertest.Eventually(t, func() bool {
			_, err := w.create(t, ns, `{metadata: {generateName: a-}, data: {a: "", b: ""}}`)
			return err == nil
		})
		s.Data["most"] = []byte("1")
		if s, err = secrets.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := registered.ValidatingAdmissionPolicies().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := registered.ValidatingAdmissionPolicyBindings().Delete(t.Context(), name+"-0", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.policy(t, "gone-"+name, `{validations: [{expression: "true"}]}`, deny) // by now nothing uses Secrets
	}
}

var (
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	limits      = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "limits"}
)

const limitDefinition = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: limits.example.com}, spec: {group: example.com, scope: Cluster,
	names: {plural: limits, singular: limit, kind: Limit, listKind: LimitList}, versions: [{name: v1, served: true, storage: true,
	schema: {openAPIV3Schema: {type: object, properties: {most: {type: integer}}}}}]}}`

// addObject makes an object of any kind, as soon as its kind is served.
func (w *world) addObject(t *testing.T, of schema.GroupVersionResource, text string) {
	t.Helper()
	client := dynamic.NewForConfigOrDie(w.Server.ClientConfig("system:admin", "system:masters")).Resource(of)
	obj := &unstructured.Unstructured{Object: *admittest.YAML[map[string]any](t, text)}
	var err error
	apiservertest.Eventually(t, func() bool {
		_, err = client.Create(t.Context(), obj, metav1.CreateOptions{})
		return err == nil
	})
}

// A policy may take custom resources whose kind is defined after it, and is refused what it cannot judge until then.
func TestCustomResourcesAreParameters(t *testing.T) {
	w := start(t)
	w.policy(t, "custom", `{paramKind: {apiVersion: example.com/v1, kind: Limit}, validations: [{expression: "object.data.size() <= params.most", messageExpression: "'at most ' + string(params.most)"}]}`,
		`{validationActions: [Deny], paramRef: {name: one, parameterNotFoundAction: Deny}}`)
	ns := w.space(t, "custom")
	const object = `{metadata: {generateName: a-}, data: {a: "", b: ""}}`
	_, err := w.create(t, ns, object)
	admittest.Check(t, err, "failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'")
	w.addObject(t, definitions, limitDefinition)
	w.addObject(t, limits, `{apiVersion: example.com/v1, kind: Limit, metadata: {name: one}, most: 1}`)
	apiservertest.Eventually(t, func() bool {
		_, err = w.create(t, ns, object)
		return err != nil && strings.HasSuffix(err.Error(), "denied request: at most 1")
	})
}
