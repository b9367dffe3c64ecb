package serviceaccount_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func withDefaults(t *testing.T) kubernetes.Interface {
	t.Helper()
	c := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), secret.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{})}, nil)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, serviceaccount.Controller())
	return c.Client
}

// awaitDefault waits for a default account other than one.
func awaitDefault(t *testing.T, client kubernetes.Interface, namespace string, other types.UID) *corev1.ServiceAccount {
	t.Helper()
	var a *corev1.ServiceAccount
	apiservertest.Eventually(t, func() bool {
		var err error
		a, err = client.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil && a.UID != other
	})
	return a
}

func TestEveryNamespaceHasADefaultAccount(t *testing.T) {
	client := withDefaults(t)
	awaitDefault(t, client, "kube-system", "")
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	awaitDefault(t, client, "new", "")
}

func TestDeletedDefaultAccountComesBack(t *testing.T) {
	client := withDefaults(t)
	first := awaitDefault(t, client, "default", "")
	if err := client.CoreV1().ServiceAccounts("default").Delete(t.Context(), "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitDefault(t, client, "default", first.UID)
}
