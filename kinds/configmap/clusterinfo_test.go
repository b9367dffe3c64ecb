package configmap_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cluster-bootstrap/token/jws"

	"dhow/apiserver/apiservertest"
	"dhow/kinds/configmap"
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

// signing is a cluster with roles, in which the signer acts as its own user.
func signing(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := rbactest.Start(t, namespace.Kind(), configmap.Kind(), secret.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{}))
	signer := configmap.BootstrapSigner()
	rbactest.Declare(t, c, signer)
	check(t, configmap.PublishClusterInfo(t.Context(), c.Client, "https://10.0.0.1:6443", c.Identity.CA.PEM))
	rbactest.Run(t, c, signer)
	return c
}

func bootstrapToken(id, usage string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id}, Type: "bootstrap.kubernetes.io/token",
		StringData: map[string]string{"token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-" + usage: "true"},
	}
}

func TestWhoHasATokenCanBelieveClusterInfo(t *testing.T) {
	c := signing(t)
	anonymous, err := kubernetes.NewForConfig(restclient.AnonymousClientConfig(c.Config))
	check(t, err)
	public, secrets := anonymous.CoreV1().ConfigMaps("kube-public"), c.Client.CoreV1().Secrets("kube-system")
	await := func(id string, signed bool) (info *corev1.ConfigMap) {
		t.Helper()
		apiservertest.Eventually(t, func() bool {
			info, err = public.Get(t.Context(), "cluster-info", metav1.GetOptions{})
			if apierrors.IsForbidden(err) { // until the role that lets everybody read it is known
				return false
			}
			check(t, err)
			return jws.DetachedTokenIsValid(info.Data["jws-kubeconfig-"+id], info.Data["kubeconfig"], id, "0123456789abcdef") == signed
		})
		return info
	}
	for id, usage := range map[string]string{"aaaaaa": "signing", "bbbbbb": "signing", "cccccc": "authentication"} {
		_, err := secrets.Create(t.Context(), bootstrapToken(id, usage), metav1.CreateOptions{})
		check(t, err)
	}
	await("aaaaaa", true)
	info := await("bbbbbb", true)
	if info.Data["jws-kubeconfig-cccccc"] != "" {
		t.Error("signed by a token that is not for signing")
	}
	kubeconfig, err := clientcmd.Load([]byte(info.Data["kubeconfig"]))
	check(t, err)
	if got := kubeconfig.Clusters[""]; got.Server != "https://10.0.0.1:6443" || string(got.CertificateAuthorityData) != string(c.Identity.CA.PEM) {
		t.Errorf("published %+v", got)
	}
	check(t, secrets.Delete(t.Context(), "bootstrap-token-bbbbbb", metav1.DeleteOptions{}))
	await("bbbbbb", false)

	info.Data = map[string]string{"kubeconfig": info.Data["kubeconfig"] + "\n# an administrator's"}
	info.ResourceVersion = ""
	_, err = c.Client.CoreV1().ConfigMaps("kube-public").Update(t.Context(), info, metav1.UpdateOptions{})
	check(t, err)
	await("aaaaaa", true)
	if _, err := public.Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another map of kube-public, read by nobody in particular: %v", err)
	}
}

func TestClusterInfoFollowsTheServerUnlessAnAdministratorHasWrittenIt(t *testing.T) {
	c := signing(t)
	configMaps := c.Client.CoreV1().ConfigMaps("kube-public")
	publish := func() string {
		t.Helper()
		check(t, configmap.PublishClusterInfo(t.Context(), c.Client, "https://10.0.0.2:6443", []byte("ca")))
		info, err := configMaps.Get(t.Context(), "cluster-info", metav1.GetOptions{})
		check(t, err)
		kubeconfig, err := clientcmd.Load([]byte(info.Data["kubeconfig"]))
		check(t, err)
		return kubeconfig.Clusters[""].Server
	}
	if got := publish(); got != "https://10.0.0.2:6443" {
		t.Errorf("after the server has moved: %s", got)
	}
	info, err := configMaps.Get(t.Context(), "cluster-info", metav1.GetOptions{})
	check(t, err)
	info.Data["kubeconfig"] = "clusters: [{name: '', cluster: {server: https://balancer}}]"
	_, err = configMaps.Update(t.Context(), info, metav1.UpdateOptions{})
	check(t, err)
	if got := publish(); got != "https://balancer" {
		t.Errorf("an administrator's choice became %s", got)
	}
}
