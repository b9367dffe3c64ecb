package serviceaccount_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func admitting(t *testing.T) kubernetes.Interface {
	t.Helper()
	return apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), secret.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{})}, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{serviceaccount.Admission(f, client)}, nil
		}
	}).Client
}

func podOf(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	if p.Spec.Containers == nil {
		p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	}
	return p
}

func account(t *testing.T, client kubernetes.Interface, text string) {
	t.Helper()
	a := &corev1.ServiceAccount{}
	if err := yaml.UnmarshalStrict([]byte(text), a); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), a, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestPodsWaitForTheDefaultAccountAndGetItsToken(t *testing.T) {
	client := admitting(t)
	made := make(chan error, 1)
	var p *corev1.Pod
	go func() {
		var err error
		p, err = client.CoreV1().Pods("default").Create(t.Context(), podOf(t, `{spec: {
			initContainers: [{name: i, image: i, volumeMounts: [{name: own, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}],
			containers: [{name: c, image: i}], volumes: [{name: own, emptyDir: {}}]}}`), metav1.CreateOptions{})
		made <- err
	}()
	account(t, client, `{metadata: {name: default}, imagePullSecrets: [{name: registry}]}`)
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	mounts := p.Spec.Containers[0].VolumeMounts
	if p.Spec.ServiceAccountName != "default" || p.Spec.DeprecatedServiceAccount != "default" || len(mounts) != 1 || !mounts[0].ReadOnly ||
		!strings.HasPrefix(mounts[0].Name, "kube-api-access-") || len(mounts[0].Name) != len("kube-api-access-")+5 ||
		mounts[0].MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" {
		t.Errorf("account %q, mounts %+v", p.Spec.ServiceAccountName, mounts)
	}
	if len(p.Spec.InitContainers[0].VolumeMounts) != 1 {
		t.Errorf("a token covers the init container's own mount: %+v", p.Spec.InitContainers[0].VolumeMounts)
	}
	v := p.Spec.Volumes[1]
	if v.Name != mounts[0].Name || *v.Projected.DefaultMode != 0o644 || *v.Projected.Sources[0].ServiceAccountToken.ExpirationSeconds != 3607 {
		t.Errorf("volume %+v", v)
	}
	if len(p.Spec.ImagePullSecrets) != 1 || p.Spec.ImagePullSecrets[0].Name != "registry" {
		t.Errorf("pull secrets %v", p.Spec.ImagePullSecrets)
	}
}

func TestPodsWithoutTheirAccountAreRefused(t *testing.T) {
	_, err := admitting(t).CoreV1().Pods("default").Create(t.Context(), podOf(t, `{spec: {serviceAccountName: x}}`), metav1.CreateOptions{})
	want := `pods "p" is forbidden: error looking up service account default/x: serviceaccount "x" not found`
	if !apierrors.IsForbidden(err) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestAdmissionOfPods(t *testing.T) {
	client := admitting(t)
	account(t, client, `{metadata: {name: default}}`)
	account(t, client, `{metadata: {name: tokenless}, automountServiceAccountToken: false}`)
	account(t, client, `{metadata: {name: strict, annotations: {kubernetes.io/enforce-mountable-secrets: "true"}}, secrets: [{name: mine}]}`)
	const mirror = `metadata: {annotations: {kubernetes.io/config.mirror: x}}, `
	for name, c := range map[string]struct {
		pod     string
		err     string
		volumes int
	}{
		"token":                    {`{}`, "", 1},
		"account wants no token":   {`{spec: {serviceAccountName: tokenless}}`, "", 0},
		"pod's wish wins":          {`{spec: {serviceAccountName: tokenless, automountServiceAccountToken: true}}`, "", 1},
		"pod wants no token":       {`{spec: {automountServiceAccountToken: false}}`, "", 0},
		"old name":                 {`{spec: {serviceAccount: tokenless}}`, "", 0},
		"mirror stays as it is":    {`{` + mirror + `spec: {nodeName: n}}`, "", 0},
		"mirror with an account":   {`{` + mirror + `spec: {nodeName: n, serviceAccountName: default}}`, "a mirror pod may not reference service accounts", 0},
		"mirror with a secret":     {`{` + mirror + `spec: {nodeName: n, volumes: [{name: v, secret: {secretName: s}}]}}`, "a mirror pod may not reference secrets", 0},
		"secret the account lists": {`{spec: {serviceAccountName: strict, automountServiceAccountToken: false, volumes: [{name: v, secret: {secretName: mine}}]}}`, "", 1},
		"secret it does not":       {`{spec: {serviceAccountName: strict, volumes: [{name: v, secret: {secretName: s}}]}}`, `volume with secret.secretName="s" is not allowed because service account strict does not reference that secret`, 0},
		"environment it does not":  {`{spec: {serviceAccountName: strict, containers: [{name: c, image: i, envFrom: [{secretRef: {name: s}}]}]}}`, `container c with envFrom referencing secret.secretName="s" is not allowed because service account strict does not reference that secret`, 0},
		"pull secret it does not":  {`{spec: {serviceAccountName: strict, imagePullSecrets: [{name: s}]}}`, `imagePullSecrets[0].name="s" is not allowed because service account strict does not reference that imagePullSecret`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := podOf(t, c.pod)
			p.Name, p.GenerateName = "", "p-"
			got, err := client.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
			if c.err == "" && err == nil && len(got.Spec.Volumes) == c.volumes {
				return
			}
			if c.err == "" || err == nil || !strings.HasSuffix(err.Error(), c.err) {
				t.Errorf("got %v, %d volumes", err, len(got.Spec.Volumes))
			}
		})
	}
}
