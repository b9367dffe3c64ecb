package secret_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/rbac/rbactest"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBootstrapTokensAreRemovedWhenTheirTimeIsOver(t *testing.T) {
	c := rbactest.Start(t, namespace.Kind(), secret.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{}))
	rbactest.Run(t, c, secret.TokenCleaner())
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for _, s := range []struct {
		namespace, name, kind, expires string
		goes                           bool
	}{
		{"kube-system", "over", "bootstrap.kubernetes.io/token", in(-time.Hour), true},
		{"kube-system", "soon-over", "bootstrap.kubernetes.io/token", in(2 * time.Second), true},
		{"kube-system", "unclear", "bootstrap.kubernetes.io/token", "tomorrow", true},
		{"kube-system", "good", "bootstrap.kubernetes.io/token", in(time.Hour), false},
		{"kube-system", "for-ever", "bootstrap.kubernetes.io/token", "", false},
		{"kube-system", "something-else", "Opaque", in(-time.Hour), false},
		{"default", "elsewhere", "bootstrap.kubernetes.io/token", in(-time.Hour), false},
	} {
		t.Run(s.name, func(t *testing.T) {
			secrets := c.Client.CoreV1().Secrets(s.namespace)
			one := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Type: corev1.SecretType(s.kind), StringData: map[string]string{}}
			if s.expires != "" {
				one.StringData["expiration"] = s.expires
			}
			_, err := secrets.Create(t.Context(), one, metav1.CreateOptions{})
			check(t, err)
			gone := func(name string) func() bool {
				return func() bool {
					_, err := secrets.Get(t.Context(), name, metav1.GetOptions{})
					return apierrors.IsNotFound(err)
				}
			}
			if s.goes {
				apiservertest.Eventually(t, gone(s.name))
				return
			}
			if s.namespace == metav1.NamespaceSystem { // one that goes shows that the cleaner has been here
				after := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "after-" + s.name}, Type: "bootstrap.kubernetes.io/token", StringData: map[string]string{"expiration": in(-time.Hour)}}
				_, err := secrets.Create(t.Context(), after, metav1.CreateOptions{})
				check(t, err)
				apiservertest.Eventually(t, gone(after.Name))
			}
			if gone(s.name)() {
				t.Error("it is gone")
			}
		})
	}
}
