package dynamicadmission_test

import (
	"encoding/json"
	"strings"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/admit/admittest"
	"dhow/apiserver/apiservertest"
)

func TestMutatingWebhooksRunByTheirConfigurationsNamesThenInOrder(t *testing.T) {
	w := start(t)
	for _, path := range []string{"one", "two", "three"} {
		w.hooks.answer("/"+path, func(r *reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
			var m corev1.ConfigMap
			if err := json.Unmarshal(r.Object.Raw, &m); err != nil {
				t.Error(err)
			}
			text, _ := json.Marshal(m.Data["order"] + path + " ")
			return patched(`[{"op": "add", "path": "/data/order", "value": ` + string(text) + `}]`)
		})
	}
	w.addMutating(t, "b", "order", at("three", ""))
	w.mutating(t, "a", "order", at("one", ""), at("two", ""))
	m, err := w.create(t, w.space(t, "order"), `{metadata: {name: a}, data: {order: ""}}`)
	if err != nil || m.Data["order"] != "one two three " {
		t.Errorf("they came as %q, %v", m.Data["order"], err)
	}
}

func TestReinvocation(t *testing.T) {
	w := start(t)
	w.hooks.answer("/first", func(r *reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		if strings.Contains(string(r.Object.Raw), `"late"`) {
			return patched(`[{"op": "add", "path": "/data/seen", "value": "late"}]`)
		}
		return patched(`[{"op": "add", "path": "/data/early", "value": "yes"}]`)
	})
	w.hooks.answer("/second", func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		return patched(`[{"op": "add", "path": "/data/late", "value": "yes"}]`)
	})
	for policy, want := range map[string]struct{ calls, seen string }{
		"IfNeeded": {"/first /second /first", "late"}, "Never": {"/first /second", ""},
	} {
		t.Run(policy, func(t *testing.T) {
			of := strings.ToLower(policy)
			w.mutating(t, of, of, at("first", calls+`, rules: `+configMaps+`, reinvocationPolicy: `+policy), at("second", ""))
			w.hooks.take()
			m, err := w.create(t, w.space(t, of), `{metadata: {name: a}, data: {a: b}}`)
			if err != nil || m.Data["seen"] != want.seen || m.Data["late"] != "yes" {
				t.Errorf("made %v, %v", m.Data, err)
			}
			if got := w.hooks.take(); got != want.calls {
				t.Errorf("asked %s", got)
			}
		})
	}
}

func TestDryRunsReachWebhooksThatHaveNoSideEffectsThen(t *testing.T) {
	w := start(t)
	dry := make(chan bool, 10)
	w.hooks.answer("/dry", func(r *reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		dry <- *r.DryRun
		return &reviewv1.AdmissionResponse{Allowed: true}
	})
	w.validating(t, "dry", at("dry", `sideEffects: NoneOnDryRun, admissionReviewVersions: [v1], rules: `+configMaps))
	ns := w.space(t, "dry")
	for _, prefix := range []string{"dry: ", ""} {
		if _, err := w.create(t, ns, prefix+`{metadata: {name: a}}`); err != nil {
			t.Fatal(err)
		}
		if got := <-dry; got != (prefix != "") {
			t.Errorf("of %q the webhook is told: dryRun %t", prefix, got)
		}
	}
	for _, effects := range []string{"Some", "Unknown"} {
		c := admittest.YAML[admissionv1.ValidatingWebhookConfiguration](t, `{metadata: {name: x}, webhooks: [`+
			at("x", `sideEffects: `+effects+`, admissionReviewVersions: [v1], rules: `+configMaps)+`]}`)
		_, err := w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), c, metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), `webhooks[0].sideEffects: Unsupported value: "`+effects+`": supported values: "None", "NoneOnDryRun"`) {
			t.Errorf("of %s it says %v", effects, err)
		}
	}
}

func TestWhichRequestsWebhooksSee(t *testing.T) {
	const yes, no = "asked", ""
	w := start(t)
	for name, test := range map[string]struct{ with, object, want string }{
		"condition":       {`matchConditions: [{name: a, expression: "object.data.a == 'x'"}]`, `{metadata: {name: a}, data: {a: x}}`, yes},
		"condition-not":   {`matchConditions: [{name: a, expression: "object.data.a == 'x'"}]`, `{metadata: {name: a}, data: {a: y}}`, no},
		"conditions":      {`matchConditions: [{name: a, expression: "true"}, {name: b, expression: "false"}]`, `{metadata: {name: a}}`, no},
		"who":             {`matchConditions: [{name: a, expression: "request.userInfo.username != 'system:admin'"}]`, `{metadata: {name: a}}`, no},
		"may":             {`matchConditions: [{name: a, expression: "authorizer.group('').resource('pods').check('delete').allowed()"}]`, `{metadata: {name: a}}`, yes},
		"breaks":          {`matchConditions: [{name: a, expression: "object.data.a == 'x'"}]`, `{metadata: {name: a}}`, "no such key: data"},
		"breaks-ignored":  {`failurePolicy: Ignore, matchConditions: [{name: a, expression: "object.data.a == 'x'"}]`, `{metadata: {name: a}}`, no},
		"breaks-but-no":   {`matchConditions: [{name: a, expression: "object.data.a == 'x'"}, {name: b, expression: "false"}]`, `{metadata: {name: a}}`, no},
		"label":           {`objectSelector: {matchLabels: {app: x}}`, `{metadata: {name: a, labels: {app: x}}}`, yes},
		"label-not":       {`objectSelector: {matchLabels: {app: x}}`, `{metadata: {name: a, labels: {app: y}}}`, no},
		"space":           {`namespaceSelector: {matchExpressions: [{key: case, operator: In, values: [space]}]}`, `{metadata: {name: a}}`, yes},
		"space-not":       {`namespaceSelector: {matchExpressions: [{key: case, operator: In, values: [other]}]}`, `{metadata: {name: a}}`, no},
		"space-name":      {`namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: case-space-name}}`, `{metadata: {name: a}}`, yes},
		"dry-run-changes": {`matchConditions: [{name: a, expression: "request.dryRun"}]`, `dry: {metadata: {name: a}}`, yes},
	} {
		t.Run(name, func(t *testing.T) {
			w.validating(t, name, at("allow", calls+`, rules: `+configMaps+`, `+test.with))
			w.hooks.take()
			_, err := w.create(t, w.space(t, name), test.object)
			got := strings.Replace(w.hooks.take(), "/allow", yes, 1)
			if err != nil && (got != "" || test.want == "" || !strings.Contains(err.Error(), test.want)) || err == nil && got != test.want {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
}

const autoscaler = `{metadata: {name: a}, spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: d, apiVersion: apps/v1},
	metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}`

// A webhook that knows one version is asked of another in the words of its own, and so is what it changes.
func TestEquivalentRequestsAreConverted(t *testing.T) {
	w := start(t)
	var asked *reviewv1.AdmissionRequest
	w.hooks.answer("/scale", func(r *reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		asked = r
		return patched(`[{"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 70}]`)
	})
	const rules = `, rules: [{apiGroups: [autoscaling], apiVersions: [v1], operations: [CREATE], resources: [horizontalpodautoscalers]}], matchPolicy: `
	for policy, want := range map[string]int32{"Equivalent": 70, "Exact": 50} {
		t.Run(policy, func(t *testing.T) {
			of := strings.ToLower(policy)
			w.mutating(t, of, of, at("scale", calls+rules+policy))
			asked = nil
			a := admittest.YAML[autoscalingv2.HorizontalPodAutoscaler](t, autoscaler)
			a, err := w.Client.AutoscalingV2().HorizontalPodAutoscalers(w.space(t, of)).Create(t.Context(), a, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := *a.Spec.Metrics[0].Resource.Target.AverageUtilization; got != want {
				t.Errorf("made %d; want %d", got, want)
			}
			if policy == "Exact" {
				if asked != nil {
					t.Error("it was asked")
				}
				return
			}
			if asked.Kind.Version != "v1" || asked.Resource.Version != "v1" || asked.RequestKind.Version != "v2" || asked.RequestResource.Version != "v2" {
				t.Errorf("it is asked of %v, requested as %v", asked.Kind, asked.RequestKind)
			}
			if !strings.Contains(string(asked.Object.Raw), `"apiVersion":"autoscaling/v1"`) {
				t.Errorf("it is shown %s", asked.Object.Raw)
			}
		})
	}
}

func TestWebhooksWarnClientsAndAnnotateTheAuditLog(t *testing.T) {
	w := start(t)
	w.hooks.answer("/talk", func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		r := patched(`[{"op": "add", "path": "/data", "value": {"a": "b"}}]`)
		r.Warnings, r.AuditAnnotations = []string{"mind the boom"}, map[string]string{"why": "because"}
		return r
	})
	w.hooks.answer("/refuse", func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		return &reviewv1.AdmissionResponse{Warnings: []string{"last words"}, Result: &metav1.Status{Code: 418, Message: "too early", Reason: "Teapot"}}
	})
	w.mutating(t, "a", "talk", at("talk", ""), `{name: away.example.com, clientConfig: {url: "https://127.0.0.1:1/"}, failurePolicy: Ignore, `+calls+`, rules: `+configMaps+`}`)
	w.validating(t, "refuse", at("refuse", ""))
	ns := w.space(t, "talk")
	if _, err := w.create(t, ns, `{metadata: {name: a}}`); err != nil {
		t.Fatal(err)
	}
	if got := w.warnings.take(); got != "mind the boom" {
		t.Errorf("warned of %q", got)
	}
	got := w.audited(t, ns, "a")
	for key, want := range map[string]string{
		"talk.example.com/why":                                          "because",
		"mutation.webhook.admission.k8s.io/round_0_index_0":             `{"configuration":"a","webhook":"talk.example.com","mutated":true}`,
		"failed-open.mutation.webhook.admission.k8s.io/round_0_index_1": "away.example.com",
	} {
		if got[key] != want {
			t.Errorf("%s is %q in %v", key, got[key], got)
		}
	}
	_, err := w.create(t, w.space(t, "refuse"), `{metadata: {name: a}}`)
	admittest.Check(t, err, `admission webhook "refuse.example.com" denied the request: too early`)
	if got := w.warnings.take(); got != "last words" {
		t.Errorf("warned of %q", got)
	}
}

func TestWebhooksSeeWhatIsDeletedAndUpdated(t *testing.T) {
	w := start(t)
	seen := make(chan *reviewv1.AdmissionRequest, 10)
	w.hooks.answer("/see", func(r *reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		seen <- r
		return &reviewv1.AdmissionResponse{Allowed: r.Operation != reviewv1.Delete, Result: &metav1.Status{Reason: metav1.StatusReasonConflict}}
	})
	ns := w.space(t, "see")
	w.validating(t, "see", at("see", calls+`, rules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*/*"]}]`))
	maps := w.client.CoreV1().ConfigMaps(ns)
	m, err := w.create(t, ns, `{metadata: {name: a}, data: {a: "1"}}`)
	if err != nil {
		t.Fatal(err)
	}
	m.Data["a"] = "2"
	if _, err := maps.Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool { // else it is asked of the deletion of what the watch cache has still, too
		cached, err := maps.Get(t.Context(), "a", metav1.GetOptions{ResourceVersion: "0"})
		return err == nil && cached.Data["a"] == "2"
	})
	admittest.Check(t, maps.Delete(t.Context(), "a", metav1.DeleteOptions{}), `admission webhook "see.example.com" denied the request: Conflict`)
	admittest.Check(t, maps.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}), `denied the request: Conflict`)
	for _, want := range []struct {
		operation reviewv1.Operation
		old, new  string
	}{{reviewv1.Create, "", `"a":"1"`}, {reviewv1.Update, `"a":"1"`, `"a":"2"`}, {reviewv1.Delete, `"a":"2"`, ""}, {reviewv1.Delete, `"a":"2"`, ""}} {
		r := <-seen
		if r.Operation != want.operation || !has(r.OldObject.Raw, want.old) || !has(r.Object.Raw, want.new) {
			t.Errorf("asked of %s of %s to %s", r.Operation, r.OldObject.Raw, r.Object.Raw)
		}
	}
}

// has says whether data is there as wanted: "" wants none.
func has(data []byte, want string) bool {
	if want == "" {
		return len(data) == 0 || string(data) == "null"
	}
	return strings.Contains(string(data), want)
}
