package dynamicadmission_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/api/admit/admittest"
)

const deny = `{validationActions: [Deny]}`

// What a policy says of one object; the end of what the client is told, "" if nothing.
func TestPoliciesDecide(t *testing.T) {
	w := start(t)
	for name, test := range map[string]struct{ spec, object, want string }{
		"passes":      {`validations: [{expression: "object.data.a == 'x'"}]`, `{metadata: {name: a}, data: {a: x}}`, ""},
		"expression":  {`validations: [{expression: "object.data.a == 'x'"}]`, `{metadata: {name: a}, data: {a: y}}`, "failed expression: object.data.a == 'x'"},
		"message":     {`validations: [{expression: "false", message: no way}]`, `{metadata: {name: a}}`, "denied request: no way"},
		"spoken":      {`validations: [{expression: "false", message: refused, messageExpression: "'not ' + object.metadata.name"}]`, `{metadata: {name: a}}`, "denied request: not a"},
		"speechless":  {`validations: [{expression: "false", message: refused, messageExpression: "string(object.data.none)"}]`, `{metadata: {name: a}}`, "denied request: refused"},
		"empty":       {`validations: [{expression: "false", message: refused, messageExpression: "' '"}]`, `{metadata: {name: a}}`, "denied request: refused"},
		"second":      {`validations: [{expression: "true"}, {expression: "false", message: second}]`, `{metadata: {name: a}}`, "denied request: second"},
		"variables":   {`variables: [{name: a, expression: "object.data.size()"}, {name: b, expression: "variables.a * 2"}], validations: [{expression: "variables.b < 4", messageExpression: "string(variables.b)"}]`, `{metadata: {name: a}, data: {a: "", b: ""}}`, "denied request: 4"},
		"lazy":        {`variables: [{name: bad, expression: "object.data.none"}], validations: [{expression: "true || variables.bad == ''"}]`, `{metadata: {name: a}}`, ""},
		"breaks":      {`validations: [{expression: "object.data.none == ''"}]`, `{metadata: {name: a}, data: {a: ""}}`, "expression 'object.data.none == ''' resulted in error: no such key: none"},
		"ignored":     {`failurePolicy: Ignore, validations: [{expression: "object.data.none == ''"}]`, `{metadata: {name: a}, data: {a: ""}}`, ""},
		"still":       {`failurePolicy: Ignore, validations: [{expression: "object.data.none == ''"}, {expression: "false", message: still}]`, `{metadata: {name: a}, data: {a: ""}}`, "denied request: still"},
		"condition":   {`matchConditions: [{name: a, expression: "has(object.data)"}], validations: [{expression: "false"}]`, `{metadata: {name: a}}`, ""},
		"space":       {`validations: [{expression: "namespaceObject.metadata.labels['case'] == 'other'", messageExpression: "namespaceObject.metadata.name"}]`, `{metadata: {name: a}}`, "denied request: case-space"},
		"may":         {`validations: [{expression: "!authorizer.group('').resource('pods').namespace('x').check('get').allowed()", message: may}]`, `{metadata: {name: a}}`, "denied request: may"},
		"request":     {`validations: [{expression: "request.operation != 'CREATE' || request.dryRun", message: not dry}]`, `{metadata: {name: a}}`, "denied request: not dry"},
		"dry":         {`validations: [{expression: "request.operation != 'CREATE' || request.dryRun"}]`, `dry: {metadata: {name: a}}`, ""},
		"expensive":   {`validations: [{expression: "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, [1,2,3,4,5,6,7,8,9,10].all(g, a + b + c + d + e + f + g > 0)))))))"}]`, `{metadata: {name: a}}`, "operation cancelled: actual cost limit exceeded"},
		"kind":        {`validations: [{expression: "object.kind == 'ConfigMap' && object.apiVersion == 'v1'"}]`, `{metadata: {name: a}}`, ""},
		"libraries":   {`validations: [{expression: "quantity('1Gi').isGreaterThan(quantity('1Mi')) && ip('10.0.0.1').family() == 4 && isURL('https://a/') && 'a-b'.matches('^[a-z-]+$')"}]`, `{metadata: {name: a}}`, ""},
		"annotations": {`auditAnnotations: [{key: k, valueExpression: "string(object.data.none)"}]`, `{metadata: {name: a}}`, "no such key: data"},
	} {
		t.Run(name, func(t *testing.T) {
			w.policy(t, name, `{`+test.spec+`}`, deny)
			_, err := w.create(t, w.space(t, name), test.object)
			switch {
			case test.want == "" && err != nil || test.want != "" && err == nil:
				t.Errorf("got %v; want %q", err, test.want)
			case err != nil && (!strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+name+"' with binding '"+name+"-0' denied request: ")):
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestARefusalsReasonIsThePolicys(t *testing.T) {
	w := start(t)
	for reason, is := range map[string]func(error) bool{
		"Forbidden": apierrors.IsForbidden, "Invalid": apierrors.IsInvalid, "RequestEntityTooLarge": apierrors.IsRequestEntityTooLargeError,
	} {
		name := strings.ToLower(reason)
		w.policy(t, name, `{validations: [{expression: "false", reason: `+reason+`}]}`, deny)
		_, err := w.create(t, w.space(t, name), `{metadata: {name: a}}`)
		if !is(err) {
			t.Errorf("%s became %v", reason, err)
		}
	}
}

func TestUpdatesAndDeletesHaveAnOldObject(t *testing.T) {
	w := start(t)
	w.policy(t, "old", `{matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: ["*"], operations: [UPDATE, DELETE], resources: [configmaps]}]},
		validations: [{expression: "object == null ? oldObject.data.a != 'keep' : oldObject.data.a != 'keep' || object.data.a == 'keep'", message: it stays}]}`, deny)
	m, err := w.create(t, w.space(t, "old"), `{metadata: {name: a}, data: {a: keep}}`)
	if err != nil {
		t.Fatal(err)
	}
	maps := w.client.CoreV1().ConfigMaps(m.Namespace)
	admittest.Check(t, maps.Delete(t.Context(), "a", metav1.DeleteOptions{}), "denied request: it stays")
	m.Data["a"] = "change"
	_, err = maps.Update(t.Context(), m, metav1.UpdateOptions{})
	admittest.Check(t, err, "denied request: it stays")
}

func TestTheAuthorizerIsAskedAboutTheUser(t *testing.T) {
	w := start(t)
	w.policy(t, "may", `{validations: [{expression: "authorizer.requestResource.check('create').allowed() && authorizer.group('').resource('secrets').check('get').allowed()", messageExpression: "'not for ' + request.userInfo.username"}]}`, deny)
	ns := w.space(t, "may")
	if _, err := w.create(t, ns, `{metadata: {name: a}}`); err != nil {
		t.Error(err)
	}
	w.client = kubernetes.NewForConfigOrDie(restclient.CopyConfig(w.Server.ClientConfig("alice")))
	_, err := w.create(t, ns, `{metadata: {name: b}}`)
	admittest.Check(t, err, "denied request: not for alice")
}

func TestWhatBindingsDoAboutFailures(t *testing.T) {
	w := start(t)
	const spec = `{validations: [{expression: "false", message: bad}], auditAnnotations: [{key: size, valueExpression: "string(object.data.size())"}, {key: none, valueExpression: "null"}]}`
	const failure = "validation.policy.admission.k8s.io/validation_failure"
	for name, test := range map[string]struct{ binding, refused, warned, audited string }{
		"deny":  {`{validationActions: [Deny]}`, "denied request: bad", "", ""},
		"warn":  {`{validationActions: [Warn]}`, "", "Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'warn-0': bad", ""},
		"audit": {`{validationActions: [Audit]}`, "", "", `[{"message":"bad","policy":"audit","binding":"audit-0","expressionIndex":0,"validationActions":["Audit"]}]`},
		"both":  {`{validationActions: [Audit, Warn]}`, "", "Validation failed for ValidatingAdmissionPolicy 'both' with binding 'both-0': bad", `[{"message":"bad","policy":"both","binding":"both-0","expressionIndex":0,"validationActions":["Audit","Warn"]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			w.policy(t, name, spec, test.binding)
			ns := w.space(t, name)
			_, err := w.create(t, ns, `{metadata: {name: a}, data: {a: "", b: ""}}`)
			admittest.Check(t, err, test.refused)
			if got := w.warnings.take(); got != test.warned {
				t.Errorf("warned of %q", got)
			}
			got := w.audited(t, ns, "a")
			if _, none := got[name+"/none"]; got[failure] != test.audited || got[name+"/size"] != "2" || none {
				t.Errorf("annotated with %v", got)
			}
		})
	}
}
