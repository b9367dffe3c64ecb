package certificate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/certificate"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// start serves the group's kinds. Users other than administrators may do anything to them, and to the signers of
// example.com "<user>" is the one verb that they have.
func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	kinds := append(certificate.Kinds(), namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{}))
	return apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Admission = func(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{certificate.Approval(), certificate.Signing(), certificate.Attest(), certificate.SubjectRestriction()}, nil
		}
		c.Authorizer = func(informers.SharedInformerFactory) (authorizer.Authorizer, error) {
			return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
				if a.GetResource() != "signers" || a.GetVerb() == a.GetUser().GetName() && a.GetName() == "example.com/*" {
					return authorizer.DecisionAllow, "", nil
				}
				return authorizer.DecisionNoOpinion, "", nil
			}), nil
		}
	})
}

func as(t *testing.T, c *apiservertest.Cluster, user string) kubernetes.Interface {
	t.Helper()
	client, err := c.Server.Client(user, "people")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func request(t testing.TB, subject pkix.Name) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func asked(t testing.TB, signer string, groups ...string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request(t, pkix.Name{CommonName: "jane", Organization: groups})})
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "r-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: text, SignerName: signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}
}

// anchor is a self-signed certificate of an authority, or of none.
func anchor(t testing.TB, isCA bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: isCA, BasicConstraintsValid: true,
		NotBefore: time.Now().Truncate(time.Second), NotAfter: time.Now().Add(2 * time.Hour).Truncate(time.Second),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestTheServerWritesDownWhoAsks(t *testing.T) {
	client := as(t, start(t), "jane")
	want := asked(t, "example.com/a")
	want.Spec.Username, want.Spec.Groups = "root", []string{"system:masters"}
	want.Status.Certificate = []byte("x")
	got, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), want, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.Username != "jane" || got.Spec.Groups[0] != "people" || len(got.Status.Certificate) > 0 || got.Generation != 0 {
		t.Errorf("%+v", got)
	}
	got.Spec.SignerName, got.Labels = "example.com/b", map[string]string{"a": "b"}
	if got, err = client.CertificatesV1().CertificateSigningRequests().Update(t.Context(), got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got.Spec.SignerName != "example.com/a" || got.Labels["a"] != "b" {
		t.Errorf("after the update: %+v", got)
	}
	list, err := client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=example.com/b"})
	if err != nil || len(list.Items) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestVerdictAndCertificateAreWrittenByThoseWhoMay(t *testing.T) {
	c := start(t)
	admin := c.Client.CertificatesV1().CertificateSigningRequests()
	r, err := admin.Create(t.Context(), asked(t, "example.com/a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	condition := func(kind certificatesv1.RequestConditionType) certificatesv1.CertificateSigningRequestCondition {
		return certificatesv1.CertificateSigningRequestCondition{Type: kind, Status: corev1.ConditionTrue}
	}
	approve := func(user string, edit func(*certificatesv1.CertificateSigningRequest)) error {
		copied := r.DeepCopy()
		edit(copied)
		got, err := as(t, c, user).CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), r.Name, copied, metav1.UpdateOptions{})
		if err == nil {
			r = got
		}
		return err
	}
	write := func(user string, edit func(*certificatesv1.CertificateSigningRequest)) error {
		copied := r.DeepCopy()
		edit(copied)
		got, err := as(t, c, user).CertificatesV1().CertificateSigningRequests().UpdateStatus(t.Context(), copied, metav1.UpdateOptions{})
		if err == nil {
			r = got
		}
		return err
	}
	add := func(kind certificatesv1.RequestConditionType) func(*certificatesv1.CertificateSigningRequest) {
		return func(r *certificatesv1.CertificateSigningRequest) {
			r.Status.Conditions = append(r.Status.Conditions, condition(kind))
		}
	}
	issue := func(text string) func(*certificatesv1.CertificateSigningRequest) {
		return func(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = []byte(text) }
	}
	check := func(step string, err error, want string) {
		t.Helper()
		t.Log(step)
		admittest.Check(t, err, want)
	}

	check("approve without the right", approve("sign", add(certificatesv1.CertificateApproved)), `user not permitted to approve requests with signerName "example.com/a"`)
	check("approve by status", write("sign", add(certificatesv1.CertificateApproved)), `status.conditions: Forbidden: updates may not add a condition of type "Approved"`)
	check("approve", approve("approve", add(certificatesv1.CertificateApproved)), "")
	if c := r.Status.Conditions[0]; c.LastUpdateTime.IsZero() || c.LastTransitionTime.IsZero() {
		t.Errorf("no times: %+v", c)
	}
	check("deny as well", approve("approve", add(certificatesv1.CertificateDenied)), `status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive`)
	check("take it back", approve("approve", func(r *certificatesv1.CertificateSigningRequest) { r.Status.Conditions = nil }),
		`status.conditions: Forbidden: updates may not remove a condition of type "Approved"`)
	check("sign without the right", write("approve", issue(anchor(t, false))), `user not permitted to sign requests with signerName "example.com/a"`)
	check("no certificate", write("sign", issue("hello")), `status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block`)
	check("sign", write("sign", issue(anchor(t, false))), "")
	check("sign again", write("sign", issue(anchor(t, false))), "status.certificate: Forbidden: updates may not modify existing certificate content")
}

func TestRequestsThatNobodyCouldSignAreRefused(t *testing.T) {
	requests := start(t).Client.CertificatesV1().CertificateSigningRequests()
	for name, c := range map[string]struct {
		edit func(*certificatesv1.CertificateSigningRequest)
		want string
	}{
		"no PEM":    {func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Request = []byte("x") }, `spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST`},
		"no usages": {func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Usages = nil }, "spec.usages: Required value"},
		"usage":     {func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Usages[0] = "fun" }, `"signing", "timestamping"`},
		"twice": {func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Usages = append(r.Spec.Usages, r.Spec.Usages[0])
		},
			`spec.usages[1]: Duplicate value: "client auth"`},
		"signer": {func(r *certificatesv1.CertificateSigningRequest) { r.Spec.SignerName = "x" },
			`spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'`},
		"legacy": {func(r *certificatesv1.CertificateSigningRequest) { r.Spec.SignerName = certificate.LegacyUnknown },
			"the legacy signerName is not allowed via this API version"},
		"short": {func(r *certificatesv1.CertificateSigningRequest) { s := int32(599); r.Spec.ExpirationSeconds = &s },
			"may not specify a duration less than 600 seconds (10 minutes)"},
		"fine": {func(*certificatesv1.CertificateSigningRequest) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := asked(t, "example.com/a")
			c.edit(r)
			_, err := requests.Create(t.Context(), r, metav1.CreateOptions{})
			if err != nil && strings.HasPrefix(c.want, `"signing"`) && strings.Contains(err.Error(), c.want) {
				return
			}
			admittest.Check(t, err, c.want)
		})
	}
	_, err := requests.Create(t.Context(), asked(t, certificatesv1.KubeAPIServerClientSignerName, "system:masters"), metav1.CreateOptions{})
	admittest.Check(t, err, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
}

func TestTrustBundlesHoldAuthoritiesUnderTheirSignersName(t *testing.T) {
	c := start(t)
	ca := anchor(t, true)
	for name, s := range map[string]struct{ user, name, signer, text, want string }{
		"plain":      {"x", "plain", "", ca, ""},
		"colon":      {"x", "a:b", "", ca, `ClusterTrustBundle without signer name must not have ":" in its name`},
		"signer":     {"attest", "example.com:a:one", "example.com/a", ca, ""},
		"no right":   {"x", "example.com:a:two", "example.com/a", ca, `user not permitted to attest for signerName "example.com/a"`},
		"other name": {"attest", "one", "example.com/a", ca, "ClusterTrustBundle for signerName example.com/a must be named with prefix example.com:a:"},
		"empty":      {"x", "b", "", "", `spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided`},
		"twice":      {"x", "c", "", ca + ca, "duplicate trust anchor (indices [0 1])"},
		"no CA":      {"x", "d", "", anchor(t, false), "entry 0 does not have the CA bit set"},
		"key":        {"x", "e", "", strings.ReplaceAll(ca, "CERTIFICATE", "KEY"), "entry 0 has bad block type: KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := as(t, c, s.user).CertificatesV1().ClusterTrustBundles().Create(t.Context(), &certificatesv1.ClusterTrustBundle{
				ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: s.signer, TrustBundle: s.text},
			}, metav1.CreateOptions{})
			admittest.Check(t, err, s.want)
		})
	}
}

func podAsked(t testing.TB, edit func(*certificatesv1.PodCertificateRequest)) *certificatesv1.PodCertificateRequest {
	t.Helper()
	r := &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "r-"},
		Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: "example.com/a", PodName: "p", PodUID: "1", ServiceAccountName: "s", ServiceAccountUID: "2", NodeName: "n", NodeUID: "3",
			StubPKCS10Request: request(t, pkix.Name{}),
		},
	}
	if edit != nil {
		edit(r)
	}
	return r
}

func TestPodsRequestsAreCheckedAndIssuedOnce(t *testing.T) {
	c := start(t)
	requests := as(t, c, "sign").CertificatesV1().PodCertificateRequests("default")
	for want, edit := range map[string]func(*certificatesv1.PodCertificateRequest){
		"spec.podUID: Invalid value: \"\": must not be empty":                               func(r *certificatesv1.PodCertificateRequest) { r.Spec.PodUID = "" },
		"spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR":                func(r *certificatesv1.PodCertificateRequest) { r.Spec.StubPKCS10Request = []byte("x") },
		"spec.maxExpirationSeconds: Invalid value: 5: must be in the range [3600, 7862400]": func(r *certificatesv1.PodCertificateRequest) { s := int32(5); r.Spec.MaxExpirationSeconds = &s },
		"spec.unverifiedUserAnnotations: Invalid value: \"x\": must be a domain-prefixed key (such as \"acme.io/foo\")": func(r *certificatesv1.PodCertificateRequest) {
			r.Spec.UnverifiedUserAnnotations = map[string]string{"x": ""}
		},
	} {
		_, err := requests.Create(t.Context(), podAsked(t, edit), metav1.CreateOptions{})
		admittest.Check(t, err, want)
	}
	r, err := requests.Create(t.Context(), podAsked(t, nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *r.Spec.MaxExpirationSeconds != 86400 {
		t.Errorf("life %d", *r.Spec.MaxExpirationSeconds)
	}
	denied := r.DeepCopy()
	denied.Status.Conditions = []metav1.Condition{{Type: "Denied", Status: metav1.ConditionTrue, Reason: "No", LastTransitionTime: metav1.Now()}}
	_, err = as(t, c, "other").CertificatesV1().PodCertificateRequests("default").UpdateStatus(t.Context(), denied, metav1.UpdateOptions{})
	admittest.Check(t, err, `User "other" is not permitted to "sign" for signer "example.com/a"`)

	issued := denied.DeepCopy()
	issued.Status.Conditions[0].Type = "Issued"
	issued.Status.CertificateChain = anchor(t, false)
	_, err = requests.UpdateStatus(t.Context(), issued, metav1.UpdateOptions{})
	if err == nil || !strings.Contains(err.Error(), "leaf certificate was not issued to the requested public key") {
		t.Errorf("issued to another key: %v", err)
	}
	if denied, err = requests.UpdateStatus(t.Context(), denied, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	denied.Status.Conditions[0].Message = "really"
	_, err = requests.UpdateStatus(t.Context(), denied, metav1.UpdateOptions{})
	admittest.Check(t, err, "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed")
}
