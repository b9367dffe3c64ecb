package ingressclass

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"dhow/api/admit/admittest"
)

func TestWhatIsWrongWithAClass(t *testing.T) {
	for text, want := range map[string]string{
		`{spec: {controller: example.com/a}}`: "",
		`{spec: {controller: ""}}`:            "spec.controller: Required value",
		`{spec: {controller: a}}`:             `spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")`,
		`{spec: {controller: a.b/c, parameters: {kind: K, name: n, namespace: x}}}`:                           "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
		`{spec: {controller: a.b/c, parameters: {kind: K, name: n, scope: Namespace}}}`:                       "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
		`{spec: {controller: a.b/c, parameters: {kind: K, name: n, scope: Planet}}}`:                          `spec.parameters.scope: Unsupported value: "Planet": supported values: "Cluster", "Namespace"`,
		`{spec: {controller: a.b/c, parameters: {kind: K, name: "", scope: Cluster}}}`:                        "spec.parameters.name: Required value",
		`{spec: {controller: a.b/c, parameters: {apiGroup: g, kind: K, name: n, scope: Cluster}}}`:            "",
		`{spec: {controller: a.b/c, parameters: {kind: K, name: n, scope: Namespace, namespace: "default"}}}`: "",
	} {
		c := admittest.YAML[networkingv1.IngressClass](t, text)
		Default(c)
		got := ""
		if errs := validate(c); len(errs) > 0 {
			got = errs[0].Error()
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestKubectlMarksDefaultClasses(t *testing.T) {
	c := admittest.YAML[networkingv1.IngressClass](t, `{metadata: {name: web, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}},
	  spec: {controller: a.b/c, parameters: {apiGroup: g, kind: K, name: nn}}}`)
	if got := cells(c); got[0] != "web (default)" || got[2] != "K.g/nn" {
		t.Errorf("got %q", got)
	}
}
