package issue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// servingSigner is whom clients trust for the API server's own certificate. Nobody can ask it to sign.
const servingSigner = "kubernetes.io/kube-apiserver-serving"

// Publishing keeps one trust bundle of the signer of the API server's certificate, with the authority in pem.
func Publishing(pem []byte) controller.Controller {
	return controller.Controller{
		Name: "kube-apiserver-serving-clustertrustbundle-publisher",
		Reads: []controller.Read{
			{Object: &certificatesv1.ClusterTrustBundle{}, Keys: func(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
				return theBundle(obj.(*certificatesv1.ClusterTrustBundle).Spec.SignerName == servingSigner)
			}},
			{Object: &corev1.Namespace{}, Keys: func(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
				return theBundle(obj.(*corev1.Namespace).Name == metav1.NamespaceSystem) // is there from the start
			}},
		},
		Writes: []controller.Write{
			{Group: group, Resources: []string{"clustertrustbundles"}, Verbs: []string{"create", "update", "delete"}},
			{Group: group, Resources: []string{"signers"}, Verbs: []string{"attest"}, Names: []string{servingSigner}},
		},
		New: func(env controller.Env) controller.Reconciler { return &publisher{env, string(pem)} },
	}
}

// theBundle is the one key that there is.
func theBundle(concerned bool) []types.NamespacedName {
	if !concerned {
		return nil
	}
	return []types.NamespacedName{{Name: servingSigner}}
}

type publisher struct {
	env controller.Env
	pem string
}

// Reconcile implements controller.Reconciler.
func (p *publisher) Reconcile(ctx context.Context, _ types.NamespacedName) (controller.Result, error) {
	all, err := p.env.Informers.Certificates().V1().ClusterTrustBundles().Lister().List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	client := p.env.Client.CertificatesV1().ClusterTrustBundles()
	plan := planBundles(all, p.pem)
	var errs []error
	if b := plan.write; b != nil && b.ResourceVersion != "" {
		_, err = client.Update(ctx, b, metav1.UpdateOptions{})
		errs = append(errs, ignoreMissing(err))
	} else if b != nil {
		if _, err = client.Create(ctx, b, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			errs = append(errs, err)
		}
	}
	for _, name := range plan.remove {
		errs = append(errs, ignoreMissing(client.Delete(ctx, name, metav1.DeleteOptions{})))
	}
	return controller.Result{}, errors.Join(errs...)
}

type bundlePlan struct {
	write  *certificatesv1.ClusterTrustBundle // nil if all is well
	remove []string
}

func planBundles(all []*certificatesv1.ClusterTrustBundle, pem string) bundlePlan {
	want := &certificatesv1.ClusterTrustBundle{
		ObjectMeta: metav1.ObjectMeta{Name: bundleName(pem)},
		Spec:       certificatesv1.ClusterTrustBundleSpec{SignerName: servingSigner, TrustBundle: pem},
	}
	plan := bundlePlan{write: want}
	for _, b := range all {
		switch {
		case b.Spec.SignerName != servingSigner:
		case b.Name != want.Name:
			plan.remove = append(plan.remove, b.Name)
		case b.Spec.TrustBundle == pem:
			plan.write = nil
		default:
			plan.write = b.DeepCopy()
			plan.write.Spec.TrustBundle = pem
		}
	}
	return plan
}

// bundleName changes with the content, so that who mounts the old one is not cut off.
func bundleName(pem string) string {
	sum := sha256.Sum256([]byte(pem))
	return fmt.Sprintf("%s:%x", strings.ReplaceAll(servingSigner, "/", ":"), sum[:12])
}
