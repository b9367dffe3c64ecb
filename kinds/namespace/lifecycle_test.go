package namespace_test

import (
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func guarded(t *testing.T) kubernetes.Interface {
	t.Helper()
	return apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), configmap.Kind()}, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{namespace.Lifecycle(f, client)}, nil
		}
	}).Client
}

func TestObjectsNeedANamespaceThatIsThere(t *testing.T) {
	client := guarded(t)
	create := func(namespace string) error {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "m-"}}
		_, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), m, metav1.CreateOptions{})
		return err
	}
	err := create("n")
	admittest.Check(t, err, `namespaces "n" not found`)
	if !apierrors.IsNotFound(err) {
		t.Errorf("not a NotFound: %v", err)
	}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	admittest.Check(t, create("n"), "") // at once, whatever caches know

	if err := client.CoreV1().Namespaces().Delete(t.Context(), "n", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	err = create("n")
	admittest.Check(t, err, "unable to create new content in namespace n because it is being terminated")
	if status, ok := err.(apierrors.APIStatus); !ok || status.Status().Code != http.StatusForbidden || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("without its cause: %#v", err)
	}
}

func TestTheClustersOwnNamespacesStay(t *testing.T) {
	client := guarded(t)
	for _, name := range []string{"default", "kube-system", "kube-public"} {
		err := client.CoreV1().Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{})
		admittest.Check(t, err, `namespaces "`+name+`" is forbidden: this namespace may not be deleted`)
	}
	admittest.Check(t, client.CoreV1().Namespaces().Delete(t.Context(), "kube-node-lease", metav1.DeleteOptions{}), "")
}
