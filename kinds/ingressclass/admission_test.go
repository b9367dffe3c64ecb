package ingressclass

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

func TestIngressesGetTheNewestDefaultClass(t *testing.T) {
	f := informers.NewSharedInformerFactory(nil, 0)
	p := Admission(f).(*plugin)
	p.synced = func() bool { return true }
	for _, text := range []string{
		`{metadata: {name: a, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}}`,
		`{metadata: {name: b, creationTimestamp: "2026-01-02T00:00:00Z", annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}}`,
		`{metadata: {name: c, creationTimestamp: "2026-01-03T00:00:00Z"}}`,
	} {
		f.Networking().V1().IngressClasses().Informer().GetIndexer().Add(admittest.YAML[networkingv1.IngressClass](t, text))
	}
	for text, want := range map[string]string{
		`{}`:                            "b",
		`{spec: {ingressClassName: x}}`: "x",
		`{metadata: {annotations: {kubernetes.io/ingress.class: x}}}`: "",
	} {
		ingress := admittest.YAML[networkingv1.Ingress](t, text)
		admittest.Check(t, admittest.Run(t, p, admittest.Request{Object: ingress, Group: "networking.k8s.io", Resource: "ingresses"}), "")
		got := ""
		if ingress.Spec.IngressClassName != nil {
			got = *ingress.Spec.IngressClassName
		}
		if got != want {
			t.Errorf("%s: class %q, want %q", text, got, want)
		}
	}
}
