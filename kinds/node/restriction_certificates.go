package node

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"
)

var (
	requestsResource    = certificatesv1.Resource("certificatesigningrequests")
	podRequestsResource = certificatesv1.Resource("podcertificaterequests")
)

// ownRequest: a node asks for certificates in its own name only.
func ownRequest(node string, a admission.Attributes) error {
	if a.GetOperation() != admission.Create {
		return nil
	}
	r, err := object[*certificatesv1.CertificateSigningRequest](a.GetObject())
	if err != nil {
		return err
	}
	switch r.Spec.SignerName {
	case certificatesv1.KubeletServingSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName:
	default:
		return nil
	}
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("unable to parse csr: %w", err)
	}
	if want := "system:node:" + node; parsed.Subject.CommonName != want {
		return fmt.Errorf("can only create a node CSR with CN=%s", want)
	}
	return nil
}

// passing is an error that a retry may mend: the cache is behind. It is no refusal.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// podRequest: a node asks for certificates of the pods that it runs, as the accounts that they have.
func (r *restriction) podRequest(node string, a admission.Attributes) error {
	if a.GetOperation() != admission.Create {
		return fmt.Errorf("unexpected operation %v", a.GetOperation())
	}
	if a.GetSubresource() != "" {
		return fmt.Errorf("unexpected subresource %v", a.GetSubresource())
	}
	request, err := object[*certificatesv1.PodCertificateRequest](a.GetObject())
	if err != nil {
		return err
	}
	s, name := &request.Spec, a.GetNamespace()+"/"+request.Spec.PodName
	if string(s.NodeName) != node {
		return fmt.Errorf("PodCertificateRequest.Spec.NodeName=%q, which is not the requesting node %q", s.NodeName, node)
	}
	n, err := r.nodes.Get(node)
	if err != nil {
		return passing{fmt.Errorf("while retrieving node %q named in the PodCertificateRequest: %w", node, err)}
	}
	if n.UID != s.NodeUID {
		return passing{fmt.Errorf("PodCertificateRequest for pod %q names node UID %q, inconsistent with the running node (%q)", name, s.NodeUID, n.UID)}
	}
	p, err := r.pods.Pods(a.GetNamespace()).Get(s.PodName)
	if err != nil {
		return passing{fmt.Errorf("while retrieving pod %q named in the PodCertificateRequest: %w", name, err)}
	}
	if p.UID != s.PodUID {
		return passing{fmt.Errorf("PodCertificateRequest for pod %q contains pod UID (%q) which differs from running pod %q", name, s.PodUID, p.UID)}
	}
	if p.Spec.NodeName != node {
		return fmt.Errorf("pod %q is not running on node %q named in the PodCertificateRequest", name, node)
	}
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return fmt.Errorf("pod %q is a mirror pod", name)
	}
	return r.podAccount(s, p)
}

// podAccount compares the account that a request names with the pod's.
func (r *restriction) podAccount(s *certificatesv1.PodCertificateRequestSpec, p *corev1.Pod) error {
	name := p.Namespace + "/" + p.Name
	if s.ServiceAccountName != p.Spec.ServiceAccountName {
		return fmt.Errorf("PodCertificateRequest for pod %q contains serviceAccountName (%q) that differs from running pod (%q)", name, s.ServiceAccountName, p.Spec.ServiceAccountName)
	}
	account, err := r.accounts.ServiceAccounts(p.Namespace).Get(s.ServiceAccountName)
	if err != nil {
		return passing{fmt.Errorf("while retrieving service account %q named in the PodCertificateRequest: %w", p.Namespace+"/"+s.ServiceAccountName, err)}
	}
	if account.UID != s.ServiceAccountUID {
		return passing{fmt.Errorf("PodCertificateRequest for pod %q names service account UID %q, which differs from the running service account (%q)", name, s.ServiceAccountUID, account.UID)}
	}
	return nil
}
