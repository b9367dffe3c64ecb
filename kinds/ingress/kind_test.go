package ingress

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, text string) *networkingv1.Ingress {
	t.Helper()
	i := &networkingv1.Ingress{}
	if err := yaml.UnmarshalStrict([]byte(text), i); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestWhatIsWrongWithAnIngress(t *testing.T) {
	const backend = "backend: {service: {name: web, port: {number: 80}}}"
	for text, want := range map[string][]string{
		`{spec: {defaultBackend: {service: {name: web, port: {name: http}}}}}`: nil,
		`{spec: {}}`: {"spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
		`{spec: {rules: [{host: "*.example.com", http: {paths: [{path: /, pathType: Prefix, ` + backend + `}]}}]}}`: nil,
		`{spec: {rules: [{host: 10.0.0.1, http: {paths: []}}]}}`: {
			`spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`,
			"spec.rules[0].http.paths: Required value",
		},
		`{spec: {rules: [{http: {paths: [{path: /, ` + backend + `}]}}]}}`: {
			"spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
		},
		`{spec: {rules: [{http: {paths: [{path: a//b/.., pathType: Exact, ` + backend + `}]}}]}}`: {
			`spec.rules[0].http.paths[0].path: Invalid value: "a//b/..": must be an absolute path`,
			`spec.rules[0].http.paths[0].path: Invalid value: "a//b/..": must not contain '//'`,
			`spec.rules[0].http.paths[0].path: Invalid value: "a//b/..": cannot end with '/..'`,
		},
		`{spec: {rules: [{http: {paths: [{path: x, pathType: Maybe, ` + backend + `}]}}]}}`: {
			`spec.rules[0].http.paths[0].pathType: Unsupported value: "Maybe": supported values: "Exact", "ImplementationSpecific", "Prefix"`,
		},
		`{spec: {defaultBackend: {}}}`:                                          {`spec.defaultBackend: Invalid value: "": resource or service backend is required`},
		`{spec: {defaultBackend: {service: {name: "", port: {}}}}}`:             {"spec.defaultBackend.service.name: Required value", "spec.defaultBackend: Required value: port name or number is required"},
		`{spec: {defaultBackend: {resource: {kind: "", name: a/b}}}}`:           {"spec.defaultBackend.resource.kind: Required value", `spec.defaultBackend.resource.name: Invalid value: "a/b": may not contain '/'`},
		`{spec: {defaultBackend: {service: {name: 1web, port: {number: 80}}}}}`: nil,
		`{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: b, defaultBackend: {service: {name: w, port: {number: 1}}}}}`: {
			"annotations.kubernetes.io/ingress.class: Invalid value: \"a\": must match `ingressClassName` when both are specified",
		},
		`{spec: {tls: [{hosts: ["*.a", "-"], secretName: A}], defaultBackend: {service: {name: w, port: {number: 1}}}}}`: {
			`spec.tls[0].hosts[1]: Invalid value: "-"`, `spec.tls[0].secretName: Invalid value: "A"`,
		},
	} {
		var got []string
		for _, err := range validate(read(t, text)) {
			got = append(got, err.Error())
		}
		if len(got) != len(want) {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s:\n got %s\nwant %s", text, got[i], want[i])
			}
		}
	}
}

func TestUpdatesMayLeaveWhatWasValidOnce(t *testing.T) {
	const text = `{spec: {tls: [{secretName: UPPER}], rules: [{host: "*.a.b", http: {paths: []}}]}}`
	if errs := validateUpdate(read(t, text), read(t, text)); len(errs) > 0 {
		t.Errorf("unchanged: %v", errs)
	}
	if errs := validateUpdate(read(t, text), read(t, `{spec: {rules: [{host: a.b}]}}`)); len(errs) != 2 {
		t.Errorf("new: %v", errs)
	}
}

func TestStatusAddresses(t *testing.T) {
	old := read(t, `{status: {loadBalancer: {ingress: [{ip: 010.0.0.1}]}}}`)
	if errs := validateStatus(old, old); len(errs) > 0 {
		t.Errorf("known: %v", errs)
	}
	errs := validateStatus(read(t, `{status: {loadBalancer: {ingress: [{ip: x}, {hostname: 10.0.0.1}]}}}`), old)
	if len(errs) != 2 || errs[0].Field != "status.loadBalancer.ingress[0].ip" || errs[1].Field != "status.loadBalancer.ingress[1].hostname" {
		t.Errorf("got %v", errs)
	}
}

func TestWhatKubectlPrints(t *testing.T) {
	for text, want := range map[string][]any{
		`{}`: {"<none>", "*", "", "80"},
		`{spec: {ingressClassName: c, tls: [{}], rules: [{host: a}, {host: b}, {host: c}, {host: d}]},
		  status: {loadBalancer: {ingress: [{hostname: z}, {ip: 10.0.0.1}, {ip: 10.0.0.1}]}}}`: {"c", "a,b,c + 1 more...", "10.0.0.1,z", "80, 443"},
	} {
		if got := cells(read(t, text))[:4]; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestTheClassAnnotationIsDeprecated(t *testing.T) {
	i := read(t, `{metadata: {annotations: {kubernetes.io/ingress.class: a}}}`)
	if got := warn(t.Context(), i, nil); len(got) != 1 {
		t.Errorf("on create: %q", got)
	}
	if got := warn(t.Context(), i, i); len(got) != 0 {
		t.Errorf("on update: %q", got)
	}
}
