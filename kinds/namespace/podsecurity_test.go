package namespace_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/deployment"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestNamespacesLabelsSayWhichPodsAreAllowed(t *testing.T) {
	client := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{})}, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			p, err := namespace.PodSecurity(f, client, nil)
			return []admission.Interface{p}, err
		}
	}).Client
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "strict", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ namespace, spec, want string }{
		"anything":   {"default", `{hostNetwork: true, containers: [{name: c, image: i}]}`, ""},
		"ordinary":   {"strict", `{containers: [{name: c, image: i}]}`, ""},
		"privileged": {"strict", `{containers: [{name: c, image: i, securityContext: {privileged: true}}]}`, `is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`},
		"host":       {"strict", `{hostNetwork: true, containers: [{name: c, image: i}]}`, `is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`},
	} {
		t.Run(name, func(t *testing.T) {
			p := admittest.YAML[corev1.Pod](t, `{metadata: {generateName: p-}, spec: `+c.spec+`}`)
			_, err := client.CoreV1().Pods(c.namespace).Create(t.Context(), p, metav1.CreateOptions{})
			admittest.Check(t, err, c.want)
			if c.want != "" && !apierrors.IsForbidden(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "wrong", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "some"}}}, metav1.CreateOptions{})
	admittest.Check(t, err, `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "some": must be one of privileged, baseline, restricted`)
}

// heard collects what the server warns of.
type heard struct{ texts []string }

// HandleWarningHeader implements rest.WarningHandler.
func (h *heard) HandleWarningHeader(_ int, _ string, text string) { h.texts = append(h.texts, text) }

func TestWithoutLabelsAndConfigurationClientsAreWarnedOfWhatIsBeyondBaseline(t *testing.T) {
	cluster := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), deployment.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{})}, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			p, err := namespace.PodSecurity(f, client, nil)
			return []admission.Interface{p}, err
		}
	})
	said := &heard{}
	cluster.Config.WarningHandler = said
	client, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, level := range map[string]string{"silent": "privileged", "strict": "restricted"} {
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"pod-security.kubernetes.io/warn": level}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const (
		plain      = `{containers: [{name: c, image: i}]}`
		privileged = `{containers: [{name: c, image: i, securityContext: {privileged: true}}]}`
		beyond     = `would violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`
	)
	for _, c := range []struct{ namespace, spec, want string }{
		{"default", plain, ""}, {"default", privileged, beyond}, {"kube-system", privileged, ""},
		{"silent", privileged, ""}, {"strict", plain, `would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false`},
	} {
		for _, create := range []func() error{
			func() error {
				p := admittest.YAML[corev1.Pod](t, `{metadata: {generateName: p-}, spec: `+c.spec+`}`)
				_, err := client.CoreV1().Pods(c.namespace).Create(t.Context(), p, metav1.CreateOptions{})
				return err
			},
			func() error {
				d := admittest.YAML[appsv1.Deployment](t, `{metadata: {generateName: d-}, spec: {selector: {matchLabels: {a: b}},
					template: {metadata: {labels: {a: b}}, spec: `+c.spec+`}}}`)
				_, err := client.AppsV1().Deployments(c.namespace).Create(t.Context(), d, metav1.CreateOptions{})
				return err
			},
		} {
			said.texts = nil
			if err := create(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(said.texts, "\n"); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%s in %s: warned of %q, want %q", c.spec, c.namespace, got, c.want)
			}
		}
	}
}

func TestConfigurationSaysWhatHoldsWithoutLabelsAndForWhomItDoesNot(t *testing.T) {
	const configuration = `
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline}
exemptions: {namespaces: [kube-system]}
`
	client := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{})}, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			p, err := namespace.PodSecurity(f, client, []byte(configuration))
			return []admission.Interface{p}, err
		}
	}).Client
	for ns, want := range map[string]string{
		"default": `violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`, "kube-system": "",
	} {
		p := admittest.YAML[corev1.Pod](t, `{metadata: {generateName: p-}, spec: {hostNetwork: true, containers: [{name: c, image: i}]}}`)
		_, err := client.CoreV1().Pods(ns).Create(t.Context(), p, metav1.CreateOptions{})
		admittest.Check(t, err, want)
	}
}
