package namespace_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), configmap.Kind()}, nil)
}

func TestDeletedNamespaceStaysUntilFinalized(t *testing.T) {
	namespaces := start(t).Client.CoreV1().Namespaces()
	made, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "n-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Status.Phase != corev1.NamespaceActive || !slices.Equal(made.Spec.Finalizers, []corev1.FinalizerName{"kubernetes"}) ||
		made.Labels[corev1.LabelMetadataName] != made.Name {
		t.Errorf("created: %+v", made)
	}
	name := made.Name
	for range 2 { // a second delete changes nothing
		if err := namespaces.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || n.DeletionTimestamp == nil || n.Status.Phase != corev1.NamespaceTerminating {
		t.Fatalf("deleted: %v %+v", err, n)
	}
	n.Spec.Finalizers = nil
	if _, err := namespaces.Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := namespaces.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
		t.Fatalf("an ordinary update took the finalizer: %v", err)
	}
	n, _ = namespaces.Get(t.Context(), name, metav1.GetOptions{})
	n.Spec.Finalizers = nil
	if _, err := namespaces.Finalize(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := namespaces.Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		// as upstream, finalizing empties the list and the next delete takes the object
		if err := namespaces.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := namespaces.Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after finalize: %v", err)
	}
}

func TestDeleteOfAnotherIncarnationIsRefused(t *testing.T) {
	namespaces := start(t).Client.CoreV1().Namespaces()
	other := types.UID("other")
	err := namespaces.Delete(t.Context(), "default", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
	if !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
}

func TestImmutableConfigMapAndSecret(t *testing.T) {
	client, yes := start(t).Client.CoreV1(), true
	m, err := client.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "m"}, Data: map[string]string{"a": "b"}, Immutable: &yes}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.Data["a"] = "c"
	_, err = client.ConfigMaps("default").Update(t.Context(), m, metav1.UpdateOptions{})
	if want := "ConfigMap \"m\" is invalid: data: Forbidden: field is immutable when `immutable` is set"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	s, err := client.Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"a": "b"}}, metav1.CreateOptions{})
	if err != nil || string(s.Data["a"]) != "b" || s.StringData != nil || s.Type != corev1.SecretTypeOpaque {
		t.Fatalf("%v %+v", err, s)
	}
	s.Type = corev1.SecretTypeTLS
	if _, err = client.Secrets("default").Update(t.Context(), s, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("type: %v", err)
	}
}
