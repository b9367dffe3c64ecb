package admissionregistration_test

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/admissionregistration"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestStatusTellsWhatIsWrongWithTypes(t *testing.T) {
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), configmap.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{})}
	c := apiservertest.Start(t, append(kinds, admissionregistration.Kinds()...), nil)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, admissionregistration.Controller())
	policies := c.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	for name, test := range map[string]struct{ expression, want string }{
		"right": {"object.data.size() < 3", ""},
		"wrong": {"object.immutable > 3", "no matching overload for '_>_' applied to '(bool, int)'"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := admittest.YAML[admissionv1.ValidatingAdmissionPolicy](t, `{metadata: {name: `+name+`}, spec: {matchConstraints: {resourceRules: `+configMaps+`},
				validations: [{expression: "`+test.expression+`"}]}}`)
			if _, err := policies.Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			var got *admissionv1.ValidatingAdmissionPolicy
			apiservertest.Eventually(t, func() (done bool) {
				var err error
				if got, err = policies.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
					t.Fatal(err)
				}
				return got.Status.ObservedGeneration == got.Generation && got.Status.TypeChecking != nil
			})
			warnings := got.Status.TypeChecking.ExpressionWarnings
			if test.want == "" && len(warnings) > 0 || test.want != "" && (len(warnings) != 1 ||
				warnings[0].FieldRef != "spec.validations[0].expression" || !strings.Contains(warnings[0].Warning, test.want)) {
				t.Errorf("warned of %+v", warnings)
			}
		})
	}
}
