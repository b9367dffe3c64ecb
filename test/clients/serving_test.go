package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"dhow/internal/isolate"
	"dhow/test/clients/operator"
	v1 "dhow/test/clients/operator/v1"
)

// serving is where an operator of this process serves its webhooks, and the certificate it does so with.
type serving struct {
	options webhook.Options
	bundle  []byte
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme, err := operator.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// newServing finds a port and makes a certificate that is its own authority.
func newServing(t *testing.T) *serving {
	t.Helper()
	l, err := net.Listen("tcp", isolate.Address+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &serving{options: webhook.Options{Host: isolate.Address, Port: l.Addr().(*net.TCPAddr).Port, CertDir: t.TempDir()}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "operator"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(isolate.Address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.bundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{
		"tls.crt": s.bundle, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(s.options.CertDir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *serving) url(path string) *string {
	return new(fmt.Sprintf("https://%s:%d%s", s.options.Host, s.options.Port, path))
}

// install makes the kind, and the webhooks if there are any; uninstall undoes it.
func (o *operated) install(s *serving) {
	o.Helper()
	for _, object := range objects(s) {
		if err := o.client.Create(o.Context(), object); err != nil {
			o.Fatal(err)
		}
	}
	o.eventually("the kind to be served", func() error { return o.client.List(o.Context(), &v1.GreetingList{}) })
}

// uninstall returns when the kind and all its objects are gone: an operator that gives up their finalizers must run.
func (o *operated) uninstall(s *serving) {
	o.Helper()
	ctx := context.Background() // the test's own has ended
	all := objects(s)
	for _, object := range slices.Backward(all) {
		if err := o.client.Delete(ctx, object); err != nil {
			o.Error(err)
		}
	}
	o.eventually("the kind to go", func() error {
		if err := o.client.Get(ctx, client.ObjectKeyFromObject(all[0]), all[0]); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

// objects are the kind and, where a webhook is served, its configurations.
func objects(s *serving) []client.Object {
	if s == nil {
		return []client.Object{definition(nil)}
	}
	return []client.Object{definition(s), s.mutating(), s.validating()}
}

// definition is the kind in both versions, converted by a webhook if one is served.
func definition(s *serving) *apiextensionsv1.CustomResourceDefinition {
	version := func(name, words string, stored bool) apiextensionsv1.CustomResourceDefinitionVersion {
		text := apiextensionsv1.JSONSchemaProps{Type: "string"}
		object := func(p map[string]apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
			return apiextensionsv1.JSONSchemaProps{Type: "object", Properties: p}
		}
		schema := object(map[string]apiextensionsv1.JSONSchemaProps{
			"spec":   object(map[string]apiextensionsv1.JSONSchemaProps{words: text, "language": text}),
			"status": object(map[string]apiextensionsv1.JSONSchemaProps{"observedGeneration": {Type: "integer", Format: "int64"}}),
		})
		return apiextensionsv1.CustomResourceDefinitionVersion{
			Name: name, Served: true, Storage: stored,
			Schema:       &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &schema},
			Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
		}
	}
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "greetings." + v1.GroupVersion.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: v1.GroupVersion.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names:    apiextensionsv1.CustomResourceDefinitionNames{Plural: "greetings", Kind: "Greeting"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version("v1", "words", true), version("v1beta1", "message", false)},
		},
	}
	if s != nil {
		crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{
			Strategy: apiextensionsv1.WebhookConverter,
			Webhook: &apiextensionsv1.WebhookConversion{
				ClientConfig:             &apiextensionsv1.WebhookClientConfig{URL: s.url("/convert"), CABundle: s.bundle},
				ConversionReviewVersions: []string{"v1"},
			},
		}
	}
	return crd
}

// rules are the requests that the webhooks want to see. They are given v1, whichever version was sent.
func (s *serving) rules(operations ...admissionv1.OperationType) []admissionv1.RuleWithOperations {
	return []admissionv1.RuleWithOperations{{
		Operations: operations,
		Rule: admissionv1.Rule{
			APIGroups: []string{v1.GroupVersion.Group}, APIVersions: []string{"v1"}, Resources: []string{"greetings"},
		},
	}}
}

func (s *serving) mutating() client.Object {
	return &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "operator"},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name:                    "default.operator.example.test",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: s.url("/mutate-operator-example-test-v1-greeting"), CABundle: s.bundle},
			Rules:                   s.rules(admissionv1.Create, admissionv1.Update),
			SideEffects:             new(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

func (s *serving) validating() client.Object {
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "operator"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    "validate.operator.example.test",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: s.url("/validate-operator-example-test-v1-greeting"), CABundle: s.bundle},
			Rules:                   s.rules(admissionv1.Create, admissionv1.Update),
			SideEffects:             new(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}
