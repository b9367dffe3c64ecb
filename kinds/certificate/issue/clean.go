package issue

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// How long requests are kept.
const (
	keepDone    = time.Hour      // from the verdict on, of what is issued, denied or failed
	keepPending = 24 * time.Hour // of what nobody decides on, or signs
	keepPod     = 15 * time.Minute
)

// Cleaning deletes requests that are of no more use.
func Cleaning() controller.Controller {
	return controller.Controller{
		Name:   "csrcleaner",
		Reads:  []controller.Read{{Object: &certificatesv1.CertificateSigningRequest{}}},
		Writes: []controller.Write{{Group: group, Resources: []string{requests}, Verbs: []string{"delete"}}},
		New:    func(env controller.Env) controller.Reconciler { return &cleaner{env} },
	}
}

type cleaner struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (c *cleaner) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	r, err := c.env.Informers.Certificates().V1().CertificateSigningRequests().Lister().Get(key.Name)
	if err != nil {
		return controller.Result{}, ignoreMissing(err)
	}
	end := planEnd(r)
	if end.IsZero() {
		return controller.Result{}, nil
	}
	if left := end.Sub(c.env.Now()); left >= 0 {
		return controller.Result{After: left + time.Second}, nil
	}
	return controller.Result{}, ignoreMissing(c.env.Client.CertificatesV1().CertificateSigningRequests().Delete(ctx, r.Name, only(r)))
}

// only deletes this very object, not one of the same name.
func only(obj metav1.Object) metav1.DeleteOptions {
	uid := obj.GetUID()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

// planEnd is when a request has been of use for long enough; never when zero.
func planEnd(r *certificatesv1.CertificateSigningRequest) time.Time {
	var end time.Time
	earlier := func(t time.Time) {
		if end.IsZero() || t.Before(end) {
			end = t
		}
	}
	if len(r.Status.Conditions) == 0 {
		earlier(r.CreationTimestamp.Add(keepPending))
	}
	issued := len(r.Status.Certificate) > 0
	for _, c := range r.Status.Conditions {
		said := c.LastUpdateTime
		switch c.Type {
		case certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			if !said.IsZero() {
				earlier(said.Add(keepDone))
			}
		case certificatesv1.CertificateApproved:
			if !said.IsZero() && issued {
				earlier(said.Add(keepDone))
			} else if !said.IsZero() {
				earlier(said.Add(keepPending))
			}
			if t := expiry(r.Status.Certificate); !t.IsZero() {
				earlier(t)
			}
		}
	}
	return end
}

// expiry is when a certificate (PEM) ends; zero if it is none.
func expiry(text []byte) time.Time {
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return cert.NotAfter
}

// PodCleaning deletes the requests of pods, which agents no longer wait for after a while.
func PodCleaning() controller.Controller {
	return controller.Controller{
		Name:   "podcertificaterequestcleaner",
		Reads:  []controller.Read{{Object: &certificatesv1.PodCertificateRequest{}}},
		Writes: []controller.Write{{Group: group, Resources: []string{"podcertificaterequests"}, Verbs: []string{"delete"}}},
		New:    func(env controller.Env) controller.Reconciler { return &podCleaner{env} },
	}
}

type podCleaner struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (c *podCleaner) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	r, err := c.env.Informers.Certificates().V1().PodCertificateRequests().Lister().PodCertificateRequests(key.Namespace).Get(key.Name)
	if err != nil {
		return controller.Result{}, ignoreMissing(err)
	}
	if left := r.CreationTimestamp.Add(keepPod).Sub(c.env.Now()); left > 0 {
		return controller.Result{After: left}, nil
	}
	return controller.Result{}, ignoreMissing(c.env.Client.CertificatesV1().PodCertificateRequests(key.Namespace).Delete(ctx, r.Name, only(r)))
}
