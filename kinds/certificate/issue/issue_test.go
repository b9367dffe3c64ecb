package issue_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/certificate"
	"dhow/kinds/certificate/issue"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// start runs the controllers; the user "trusted" may have certificates for nodes.
func start(t *testing.T, now func() time.Time) *apiservertest.Cluster {
	t.Helper()
	kinds := append(certificate.Kinds(), namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{}))
	c := apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Authorizer = func(informers.SharedInformerFactory) (authorizer.Authorizer, error) {
			return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
				if a.GetSubresource() == "" || a.GetUser().GetName() == "trusted" && a.GetSubresource() == "nodeclient" {
					return authorizer.DecisionAllow, "", nil
				}
				return authorizer.DecisionNoOpinion, "", nil
			}), nil
		}
	})
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers, Now: now},
		issue.Approving(), issue.Signing(c.Identity.CA), issue.Cleaning(), issue.PodCleaning(), issue.Publishing(c.Identity.CA.PEM))
	return c
}

func ask(t *testing.T, c *apiservertest.Cluster, user, signer string, subject pkix.Name, usages ...certificatesv1.KeyUsage) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := c.Server.Client(user)
	if err != nil {
		t.Fatal(err)
	}
	hour := int32(3600)
	r, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "r-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: signer, Usages: usages, ExpirationSeconds: &hour,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Name
}

var (
	nodeName   = pkix.Name{CommonName: "system:node:n1", Organization: []string{"system:nodes"}}
	nodeUsages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
)

func await(t *testing.T, client kubernetes.Interface, name string, done func(*certificatesv1.CertificateSigningRequest) bool) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	var r *certificatesv1.CertificateSigningRequest
	apiservertest.Eventually(t, func() bool {
		var err error
		r, err = client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && done(r)
	})
	return r
}

func issued(r *certificatesv1.CertificateSigningRequest) bool { return len(r.Status.Certificate) > 0 }

func TestNodesGetTheirClientCertificates(t *testing.T) {
	c := start(t, nil)
	r := await(t, c.Client, ask(t, c, "trusted", certificatesv1.KubeAPIServerClientKubeletSignerName, nodeName, nodeUsages...), issued)
	if m := r.Status.Conditions[0].Message; m != "Auto approving kubelet client certificate after SubjectAccessReview." {
		t.Error(m)
	}
	block, _ := pem.Decode(r.Status.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if cert.CheckSignatureFrom(c.Identity.CA.Cert) != nil || cert.Subject.CommonName != "system:node:n1" {
		t.Errorf("certificate of %s", cert.Subject)
	}
	if life := time.Until(cert.NotAfter); life > time.Hour || life < 50*time.Minute {
		t.Errorf("holds for %s, an hour was asked for", life)
	}
}

func TestOthersWaitForAnApproval(t *testing.T) {
	c := start(t, nil)
	mine := ask(t, c, "jane", certificatesv1.KubeAPIServerClientKubeletSignerName, nodeName, nodeUsages...)
	person := ask(t, c, "trusted", certificatesv1.KubeAPIServerClientSignerName, pkix.Name{CommonName: "jane"}, certificatesv1.UsageClientAuth)
	// what comes later is signed: so the controllers have seen these two
	await(t, c.Client, ask(t, c, "trusted", certificatesv1.KubeAPIServerClientKubeletSignerName, nodeName, nodeUsages...), issued)
	for _, name := range []string{mine, person} {
		r := await(t, c.Client, name, func(*certificatesv1.CertificateSigningRequest) bool { return true })
		if len(r.Status.Conditions) > 0 {
			t.Errorf("%s: %+v", name, r.Status)
		}
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
		if _, err := c.Client.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), name, r, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		await(t, c.Client, name, issued)
	}
}

func TestRequestAgainstItsSignersRulesFails(t *testing.T) {
	c := start(t, nil)
	name := ask(t, c, "jane", certificatesv1.KubeAPIServerClientSignerName, pkix.Name{CommonName: "jane"}, certificatesv1.UsageServerAuth)
	r := await(t, c.Client, name, func(*certificatesv1.CertificateSigningRequest) bool { return true })
	r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	if _, err := c.Client.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), name, r, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r = await(t, c.Client, name, func(r *certificatesv1.CertificateSigningRequest) bool { return len(r.Status.Conditions) == 2 })
	if f := r.Status.Conditions[1]; f.Type != certificatesv1.CertificateFailed || f.Message != "invalid usage for client certificate: server auth" {
		t.Errorf("%+v", f)
	}
}

func TestOldRequestsAreCleared(t *testing.T) {
	c := start(t, func() time.Time { return time.Now().Add(25 * time.Hour) })
	name := ask(t, c, "jane", "example.com/a", pkix.Name{CommonName: "jane"}, certificatesv1.UsageClientAuth)
	apiservertest.Eventually(t, func() bool {
		_, err := c.Client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestTheServersAuthorityIsPublishedOnce(t *testing.T) {
	c := start(t, nil)
	bundles := c.Client.CertificatesV1().ClusterTrustBundles()
	name := ""
	apiservertest.Eventually(t, func() bool {
		list, err := bundles.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=kubernetes.io/kube-apiserver-serving"})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		name = list.Items[0].Name
		return list.Items[0].Spec.TrustBundle == string(c.Identity.CA.PEM)
	})
	if !strings.HasPrefix(name, "kubernetes.io:kube-apiserver-serving:") {
		t.Error(name)
	}
	if err := bundles.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool { _, err := bundles.Get(t.Context(), name, metav1.GetOptions{}); return err == nil })
}
