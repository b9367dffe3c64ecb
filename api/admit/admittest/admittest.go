// Package admittest puts requests to admission plug-ins in tests, without a server.
package admittest

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"
)

// Request is one request; Operation is Create unless set.
type Request struct {
	Operation                    admission.Operation
	Object, Old                  runtime.Object
	Group, Resource, Subresource string
	// Name is the object's unless set.
	Name string
	User user.Info
}

// Attributes are what a server would give plug-ins.
func (r Request) Attributes() admission.Attributes {
	if r.Operation == "" {
		r.Operation = admission.Create
	}
	name, namespace := r.Name, ""
	for _, obj := range []runtime.Object{r.Object, r.Old} {
		if m, err := meta.Accessor(obj); err == nil {
			if name == "" {
				name = m.GetName()
			}
			namespace = m.GetNamespace()
			break
		}
	}
	kind := schema.GroupVersionKind{Group: r.Group, Version: "v1"}
	if obj := r.Object; obj != nil {
		kind.Kind = reflect.TypeOf(obj).Elem().Name()
	} else if r.Old != nil {
		kind.Kind = reflect.TypeOf(r.Old).Elem().Name()
	}
	options := runtime.Object(&metav1.CreateOptions{})
	return admission.NewAttributesRecord(r.Object, r.Old, kind, namespace, name,
		schema.GroupVersionResource{Group: r.Group, Version: "v1", Resource: r.Resource}, r.Subresource, r.Operation, options, false, r.User)
}

// Run does what a server does: Admit, then Validate.
func Run(t testing.TB, plugin admission.Interface, r Request) error {
	t.Helper()
	a := r.Attributes()
	if !plugin.Handles(a.GetOperation()) {
		return nil
	}
	if m, ok := plugin.(admission.MutationInterface); ok {
		if err := m.Admit(t.Context(), a, nil); err != nil {
			return err
		}
	}
	if v, ok := plugin.(admission.ValidationInterface); ok {
		return v.Validate(t.Context(), a, nil)
	}
	return nil
}

// Check compares an error with how its text should end; "" wants none.
func Check(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("allowed; want %q", want)
	case want != "" && !strings.HasSuffix(err.Error(), want):
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// YAML reads an object as a user writes it.
func YAML[T any](t testing.TB, text string) *T {
	t.Helper()
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return obj
}
