package dynamicadmission_test

import (
	"context"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/admit/admittest"
)

// However a policy's expressions are written, they are accepted or refused in time, and so is what they judge and
// change; nothing that is wrong with them is taken for the server's own mistake.
func FuzzPolicies(f *testing.F) {
	w := start(f)
	registered := w.Client.AdmissionregistrationV1()
	rules := &admissionv1.MatchResources{ResourceRules: *admittest.YAML[[]admissionv1.NamedRuleWithOperations](f, configMaps)}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "fuzz"}}
	policy.Spec = admissionv1.ValidatingAdmissionPolicySpec{MatchConstraints: rules, Validations: []admissionv1.Validation{{Expression: "true"}}}
	mutation := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "fuzz"}}
	mutation.Spec = admissionv1.MutatingAdmissionPolicySpec{MatchConstraints: rules, ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: "Object{}"}}}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "fuzz"}}
	binding.Spec = admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "fuzz", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}
	mutates := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "fuzz"}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: "fuzz"}}
	policy, err := registered.ValidatingAdmissionPolicies().Create(f.Context(), policy, metav1.CreateOptions{})
	check(f, err)
	mutation, err = registered.MutatingAdmissionPolicies().Create(f.Context(), mutation, metav1.CreateOptions{})
	check(f, err)
	_, err = registered.ValidatingAdmissionPolicyBindings().Create(f.Context(), binding, metav1.CreateOptions{})
	check(f, err)
	_, err = registered.MutatingAdmissionPolicyBindings().Create(f.Context(), mutates, metav1.CreateOptions{})
	check(f, err)
	for _, seed := range [][4]string{
		{"object.data.size() < 3", "'no ' + object.metadata.name", "object.data", `Object{data: {"a": "b"}}`},
		{"variables.v.all(k, variables.v[k] != '')", "string(request.uid)", "dyn(object.data)", `Object{metadata: Object.metadata{labels: {"x": "y"}}}`},
		{"authorizer.group('').resource('pods').check('get').allowed()", "'", "1 / 0", `Object{none: 1}`},
		{"object == oldObject || [1].map(a, [1].map(b, a / (b - 1))) == []", "", "[object].map(o, o.data)[7]", "Object{data: variables.v}"},
		{"params == null", "\x00", "variables.v", "object"}, {"'a'.matches('(')", "''.format([])", "quantity('x')", "Object{data: {?'a': optional.none()}}"},
		{"object.data['a'] in namespaceObject.metadata.labels", "", "cel.bind(x, object, x.data)", "null"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"a": "b"}}
	f.Fuzz(func(t *testing.T, expression, message, variable, change string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p, c := policy.DeepCopy(), mutation.DeepCopy()
		variables := []admissionv1.Variable{{Name: "v", Expression: variable}}
		p.Spec.Variables, c.Spec.Variables = variables, variables
		p.Spec.Validations[0] = admissionv1.Validation{Expression: expression, MessageExpression: message}
		c.Spec.Mutations[0].ApplyConfiguration.Expression = change
		p.ResourceVersion = current(t, func() (metav1.Object, error) {
			return registered.ValidatingAdmissionPolicies().Get(ctx, "fuzz", metav1.GetOptions{})
		})
		c.ResourceVersion = current(t, func() (metav1.Object, error) {
			return registered.MutatingAdmissionPolicies().Get(ctx, "fuzz", metav1.GetOptions{})
		})
		_, err := registered.ValidatingAdmissionPolicies().Update(ctx, p, metav1.UpdateOptions{})
		mayRefuse(t, err)
		_, err = registered.MutatingAdmissionPolicies().Update(ctx, c, metav1.UpdateOptions{})
		mayRefuse(t, err)
		_, err = w.Client.CoreV1().ConfigMaps("default").Create(ctx, m, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		mayRefuse(t, err)
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func current(t testing.TB, get func() (metav1.Object, error)) string {
	t.Helper()
	obj, err := get()
	check(t, err)
	return obj.GetResourceVersion()
}

// mayRefuse: errors are the client's, and say something.
func mayRefuse(t *testing.T, err error) {
	t.Helper()
	status, told := err.(apierrors.APIStatus)
	if err == nil || told && status.Status().Code < 500 && status.Status().Message != "" {
		return
	}
	t.Errorf("told %v", err)
}
