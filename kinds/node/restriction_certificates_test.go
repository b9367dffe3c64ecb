package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

func TestNodesAskForCertificatesInTheirOwnName(t *testing.T) {
	plugin := restricted(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ signer, cn, want string }{
		"own":    {certificatesv1.KubeletServingSignerName, "system:node:a", ""},
		"other":  {certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:b", "can only create a node CSR with CN=system:node:a"},
		"signer": {"example.com/a", "system:node:b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: c.cn}}, key)
			if err != nil {
				t.Fatal(err)
			}
			r := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
				SignerName: c.signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})}}
			admittest.Check(t, admittest.Run(t, plugin, admittest.Request{Object: r, Group: certificatesv1.GroupName, Resource: "certificatesigningrequests", User: nodeA}), c.want)
		})
	}
}

func TestNodesAskForCertificatesOfTheirOwnPods(t *testing.T) {
	f := informers.NewSharedInformerFactory(nil, 0)
	plugin := Restriction(f)
	core := f.Core().V1()
	core.Nodes().Informer().GetIndexer().Add(admittest.YAML[corev1.Node](t, `{metadata: {name: a, uid: u}}`))
	core.ServiceAccounts().Informer().GetIndexer().Add(admittest.YAML[corev1.ServiceAccount](t, `{metadata: {namespace: ns, name: s, uid: v}}`))
	for _, text := range []string{
		`{metadata: {namespace: ns, name: mine, uid: p}, spec: {nodeName: a, serviceAccountName: s}}`,
		`{metadata: {namespace: ns, name: other, uid: o}, spec: {nodeName: b, serviceAccountName: s}}`,
		`{metadata: {namespace: ns, name: mirror, uid: m, annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: a, serviceAccountName: s}}`,
	} {
		core.Pods().Informer().GetIndexer().Add(admittest.YAML[corev1.Pod](t, text))
	}
	const right = `{podName: mine, podUID: p, nodeName: a, nodeUID: u, serviceAccountName: s, serviceAccountUID: v}`
	for name, c := range map[string]struct {
		from, to, want string
		forbidden      bool
	}{
		"own":           {"", "", "", false},
		"other node":    {"nodeName: a", "nodeName: b", `PodCertificateRequest.Spec.NodeName="b", which is not the requesting node "a"`, true},
		"node anew":     {"nodeUID: u", "nodeUID: w", `names node UID "w", inconsistent with the running node ("u")`, false},
		"pod anew":      {"podUID: p", "podUID: w", `contains pod UID ("w") which differs from running pod "p"`, false},
		"other's pod":   {"podName: mine, podUID: p", "podName: other, podUID: o", `pod "ns/other" is not running on node "a" named in the PodCertificateRequest`, true},
		"mirror":        {"podName: mine, podUID: p", "podName: mirror, podUID: m", `pod "ns/mirror" is a mirror pod`, true},
		"other account": {"serviceAccountName: s", "serviceAccountName: x", `contains serviceAccountName ("x") that differs from running pod ("s")`, true},
		"account anew":  {"serviceAccountUID: v", "serviceAccountUID: w", `which differs from the running service account ("v")`, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := admittest.YAML[certificatesv1.PodCertificateRequest](t, `{metadata: {namespace: ns, name: r}, spec: `+strings.Replace(right, c.from, c.to, 1)+`}`)
			err := admittest.Run(t, plugin, admittest.Request{Object: r, Group: certificatesv1.GroupName, Resource: "podcertificaterequests", User: nodeA})
			admittest.Check(t, err, c.want)
			if apierrors.IsForbidden(err) != c.forbidden {
				t.Errorf("forbidden: %v", err)
			}
		})
	}
}
