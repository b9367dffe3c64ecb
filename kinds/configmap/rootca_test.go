package configmap_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

const pem = "-----BEGIN CERTIFICATE-----"

func publishing(t *testing.T) kubernetes.Interface { return publish(t).Client }

func publish(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), configmap.Kind(), secret.Kind(), node.Kind(node.Config{}),
		pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{})}, nil)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, configmap.RootCA([]byte(pem)))
	return c
}

func awaitRootCA(t *testing.T, client kubernetes.Interface, namespace string) *corev1.ConfigMap {
	t.Helper()
	var cm *corev1.ConfigMap
	apiservertest.Eventually(t, func() bool {
		var err error
		cm, err = client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		return err == nil && len(cm.Data) == 1 && cm.Data["ca.crt"] == pem
	})
	return cm
}

func TestEveryNamespaceHasTheRootCA(t *testing.T) {
	client := publishing(t)
	awaitRootCA(t, client, "default")
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	awaitRootCA(t, client, "new")
}

func TestChangedRootCAIsRestored(t *testing.T) {
	client := publishing(t)
	cm := awaitRootCA(t, client, "default")
	cm.Data = map[string]string{"ca.crt": "another", "more": ""}
	changed, err := client.CoreV1().ConfigMaps("default").Update(t.Context(), cm, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if restored := awaitRootCA(t, client, "default"); restored.UID != changed.UID {
		t.Error("it was made anew")
	}
}

func TestDeletedRootCAComesBack(t *testing.T) {
	client := publishing(t)
	first := awaitRootCA(t, client, "default")
	if err := client.CoreV1().ConfigMaps("default").Delete(t.Context(), first.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if second := awaitRootCA(t, client, "default"); second.UID == first.UID {
		t.Error("it was not deleted")
	}
}

func TestNamespaceThatGoesGetsNoRootCA(t *testing.T) {
	c := publish(t)
	client := c.Client
	kept := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}} // its finalizer keeps it terminating
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), kept, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitRootCA(t, client, "default")
	awaitRootCA(t, client, "going")
	if err := client.CoreV1().Namespaces().Delete(t.Context(), "going", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool { // the controller knows that it goes
		n, err := c.Informers.Core().V1().Namespaces().Lister().Get("going")
		return err == nil && n.DeletionTimestamp != nil
	})
	if err := client.CoreV1().ConfigMaps("going").Delete(t.Context(), "kube-root-ca.crt", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// what is made elsewhere afterwards shows that the controller has been here
	if err := client.CoreV1().ConfigMaps("default").Delete(t.Context(), "kube-root-ca.crt", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitRootCA(t, client, "default")
	if _, err := client.CoreV1().ConfigMaps("going").Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("it is there: %v", err)
	}
}
