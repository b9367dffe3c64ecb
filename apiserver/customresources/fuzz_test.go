package customresources_test

import (
	"context"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// However a rule is written, a definition with it is accepted or refused in time, and the server does not take the
// mistake for its own; an object is judged by what was accepted.
func FuzzRules(f *testing.F) {
	w := start(f)
	client := w.serve(f, "fuzz", `{type: object, properties: {size: {type: integer}, list: {type: array, maxItems: 10, items: {type: string, maxLength: 10}}, map: {type: object, maxProperties: 5, additionalProperties: {type: integer}}}}`)
	definitions := w.definitions.ApiextensionsV1().CustomResourceDefinitions()
	base, err := definitions.Get(f.Context(), "things.fuzz.example.com", metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	object := *thing(f, "fuzz", `{size: 3, list: [a, b], map: {x: 1}}`)
	for _, seed := range [][3]string{
		{"self.size < 3", "'no ' + string(self.size)", ".size"}, {"self.size >= oldSelf.size", "", ""}, {"self.list.all(a, self.list.exists(b, a == b))", "self.list.join(',')", ".list[0]"},
		{"self.map.all(k, self.map[k] > 0)", "", ".map.x"}, {"self.", "'", "."}, {"size(self.list.map(a, self.list.map(b, a + b))) > 0", "", ""},
		{"cel.bind(x, self.size, x / 0 == 1)", "", ""}, {"'a'.matches('(a+)+$') && self.list.sortBy(a, a)[0] == ''", "", ""}, {"((((((((((((self))))))))))))", "\x00", "['x']"},
		{"quantity('1').add(self.size) == format.dns1123Label().value()", "", ""}, {"optional.of(self).orValue(oldSelf) == self", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, rule, message, path string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		now, err := definitions.Get(ctx, base.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d := base.DeepCopy()
		d.ResourceVersion = now.ResourceVersion
		s := d.Spec.Versions[0].Schema.OpenAPIV3Schema
		s.XValidations = apiextensionsv1.ValidationRules{{Rule: rule, MessageExpression: message, FieldPath: path}}
		_, err = definitions.Update(ctx, d, metav1.UpdateOptions{})
		mayRefuse(t, err)
		_, err = client.Create(ctx, &object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		mayRefuse(t, err)
	})
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
