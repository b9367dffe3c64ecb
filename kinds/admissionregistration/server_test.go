package admissionregistration_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/admissionregistration"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func start(t testing.TB) kubernetes.Interface {
	t.Helper()
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), configmap.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{})}
	return apiservertest.Start(t, append(kinds, admissionregistration.Kinds()...), nil).Client
}

func createMap(t testing.TB, client kubernetes.Interface, name string, data map[string]string) (*corev1.ConfigMap, error) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-"}, Data: data}
	return client.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{})
}

const (
	configMaps = `[{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]`
	calls      = `rules: ` + configMaps + `, sideEffects: None, admissionReviewVersions: [v1]`
)

func TestValidatingPolicyRefuses(t *testing.T) {
	client := start(t)
	registered := client.AdmissionregistrationV1()
	policy := admittest.YAML[admissionv1.ValidatingAdmissionPolicy](t, `{metadata: {name: p}, spec: {matchConstraints: {resourceRules: `+configMaps+`},
		variables: [{name: size, expression: size(object.data)}], validations: [{expression: variables.size < 2, messageExpression: "'too many: ' + string(variables.size)"}]}}`)
	if _, err := registered.ValidatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := admittest.YAML[admissionv1.ValidatingAdmissionPolicyBinding](t, `{metadata: {name: b}, spec: {policyName: p, validationActions: [Deny]}}`)
	if _, err := registered.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var err error
	apiservertest.Eventually(t, func() bool {
		_, err = createMap(t, client, "m", map[string]string{"a": "", "b": ""})
		return err != nil
	})
	admittest.Check(t, err, "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: too many: 2")
	_, err = createMap(t, client, "m", map[string]string{"a": ""})
	admittest.Check(t, err, "")
}

func TestMutatingPolicyChanges(t *testing.T) {
	for name, mutation := range map[string]string{
		"patch": `{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: "add", path: "/data/added", value: "yes"}]'}}`,
		"apply": `{patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{data: {"added": "yes"}}'}}`,
	} {
		t.Run(name, func(t *testing.T) {
			client := start(t)
			registered := client.AdmissionregistrationV1()
			policy := admittest.YAML[admissionv1.MutatingAdmissionPolicy](t, `{metadata: {name: p}, spec: {matchConstraints: {resourceRules: `+configMaps+`},
				reinvocationPolicy: Never, mutations: [`+mutation+`]}}`)
			if _, err := registered.MutatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			binding := admittest.YAML[admissionv1.MutatingAdmissionPolicyBinding](t, `{metadata: {name: b}, spec: {policyName: p}}`)
			if _, err := registered.MutatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			apiservertest.Eventually(t, func() bool {
				m, err := createMap(t, client, "m", map[string]string{"a": ""})
				if err != nil {
					t.Fatal(err)
				}
				return m.Data["added"] == "yes"
			})
		})
	}
}

// serve answers reviews over HTTPS and returns its URL and the bundle that vouches for it.
func serve(t *testing.T, answer func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse) (url string, bundle []byte) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review reviewv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = answer(review.Request)
		review.Response.UID = review.Request.UID
		json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestWebhooksAreAsked(t *testing.T) {
	client := start(t)
	registered := client.AdmissionregistrationV1()
	url, bundle := serve(t, func(r *reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		var m corev1.ConfigMap
		if err := json.Unmarshal(r.Object.Raw, &m); err != nil {
			t.Error(err)
		}
		if m.Data["refuse"] != "" {
			return &reviewv1.AdmissionResponse{Result: &metav1.Status{Message: "as you wish"}}
		}
		kind := reviewv1.PatchTypeJSONPatch
		return &reviewv1.AdmissionResponse{Allowed: true, PatchType: &kind, Patch: []byte(`[{"op": "add", "path": "/data/added", "value": "yes"}]`)}
	})
	mutating := admittest.YAML[admissionv1.MutatingWebhookConfiguration](t, `{metadata: {name: m}, webhooks: [{name: m.example.com, clientConfig: {url: "`+url+`"}, `+calls+`}]}`)
	mutating.Webhooks[0].ClientConfig.CABundle = bundle
	if _, err := registered.MutatingWebhookConfigurations().Create(t.Context(), mutating, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		m, err := createMap(t, client, "m", map[string]string{"a": ""})
		if err != nil {
			t.Fatal(err)
		}
		return m.Data["added"] == "yes"
	})
	_, err := createMap(t, client, "m", map[string]string{"refuse": "yes"})
	admittest.Check(t, err, `admission webhook "m.example.com" denied the request: as you wish`)
}

func TestUnreachableWebhookRefusesUnlessItMayBeIgnored(t *testing.T) {
	client := start(t)
	registered := client.AdmissionregistrationV1()
	c := admittest.YAML[admissionv1.ValidatingWebhookConfiguration](t, `{metadata: {name: v}, webhooks: [{name: v.example.com, clientConfig: {url: "https://127.0.0.1:1/x"}, `+calls+`}]}`)
	c, err := registered.ValidatingWebhookConfigurations().Create(t.Context(), c, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		_, err = createMap(t, client, "m", nil)
		return err != nil
	})
	if !strings.Contains(err.Error(), `failed calling webhook "v.example.com"`) {
		t.Errorf("got %v", err)
	}
	ignore := admissionv1.Ignore
	c.Webhooks[0].FailurePolicy = &ignore
	if c, err = registered.ValidatingWebhookConfigurations().Update(t.Context(), c, metav1.UpdateOptions{}); err != nil || c.Generation != 2 {
		t.Fatalf("%v, generation %d", err, c.Generation)
	}
	apiservertest.Eventually(t, func() bool {
		_, err = createMap(t, client, "m", nil)
		return err == nil
	})
}

func TestWhatIsWrongIsToldInUpstreamsWords(t *testing.T) {
	registered := start(t).AdmissionregistrationV1()
	webhook := func(text string) error {
		c := admittest.YAML[admissionv1.ValidatingWebhookConfiguration](t, `{metadata: {name: v}, webhooks: [`+text+`]}`)
		_, err := registered.ValidatingWebhookConfigurations().Create(t.Context(), c, metav1.CreateOptions{})
		return err
	}
	policy := func(text string) error {
		p := admittest.YAML[admissionv1.ValidatingAdmissionPolicy](t, `{metadata: {name: p}, spec: {matchConstraints: {resourceRules: `+configMaps+`}, `+text+`}}`)
		_, err := registered.ValidatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{})
		return err
	}
	binding := func(text string) error {
		b := admittest.YAML[admissionv1.ValidatingAdmissionPolicyBinding](t, `{metadata: {name: b}, spec: `+text+`}`)
		_, err := registered.ValidatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{})
		return err
	}
	mutation := func(text string) error {
		p := admittest.YAML[admissionv1.MutatingAdmissionPolicy](t, `{metadata: {name: p}, spec: {reinvocationPolicy: Never, matchConstraints: {resourceRules: `+configMaps+`}, mutations: [`+text+`]}}`)
		_, err := registered.MutatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{})
		return err
	}
	const good = `clientConfig: {url: "https://a/"}, ` + calls
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"webhook's name":     {webhook(`{name: v, ` + good + `}`), `webhooks[0].name: Invalid value: "v": should be a domain with at least three segments separated by dots`},
		"webhook's address":  {webhook(`{name: v.example.com, clientConfig: {}, ` + calls + `}`), `webhooks[0].clientConfig: Required value: exactly one of url or service is required`},
		"webhook twice":      {webhook(`{name: v.example.com, ` + good + `}, {name: v.example.com, ` + good + `}`), `webhooks[1].name: Duplicate value: "v.example.com"`},
		"webhook's effects":  {webhook(`{name: v.example.com, clientConfig: {url: "https://a/"}, rules: ` + configMaps + `, admissionReviewVersions: [v1]}`), `webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun`},
		"webhook's versions": {webhook(`{name: v.example.com, clientConfig: {url: "https://a/"}, rules: ` + configMaps + `, sideEffects: None, admissionReviewVersions: [v2]}`), `webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1`},
		"webhook's timeout":  {webhook(`{name: v.example.com, timeoutSeconds: 31, ` + good + `}`), `webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds`},
		"policy's rules":     {policy(`validations: []`), `spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item]`},
		"policy's reason":    {policy(`validations: [{expression: "true", reason: Because}]`), `spec.validations[0].reason: Unsupported value: "Because": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"`},
		"policy's variable":  {policy(`validations: [{expression: "true"}], variables: [{name: for, expression: "1"}]`), `spec.variables[0].name: Invalid value: "for": must be a valid CEL identifier`},
		"binding's actions":  {binding(`{policyName: p}`), `spec.validationActions: Required value: at least one validation action is required`},
		"binding's ref":      {binding(`{policyName: p, validationActions: [Deny], paramRef: {name: a}}`), `spec.paramRef.parameterNotFoundAction: Required value`},
		"mutation's patch":   {mutation(`{patchType: JSONPatch}`), `spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch`},
		"mutations":          {mutation(``), `spec.mutations: Required value: mutations must contain at least one item`},
	} {
		t.Run(name, func(t *testing.T) { admittest.Check(t, c.err, c.want) })
	}
	for name, err := range map[string]error{
		"condition": webhook(`{name: v.example.com, matchConditions: [{name: a, expression: "1 +"}], ` + good + `}`),
		"policy":    policy(`validations: [{expression: "object.x ==="}]`),
		"mutation":  mutation(`{patchType: JSONPatch, jsonPatch: {expression: '[1'}}`),
	} {
		if err == nil || !strings.Contains(err.Error(), "compilation failed: ERROR: <input>:1:") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
