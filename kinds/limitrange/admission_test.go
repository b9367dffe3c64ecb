package limitrange_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/limitrange"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func start(t *testing.T) kubernetes.Interface {
	t.Helper()
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{}),
		persistentvolumeclaim.Kind(), limitrange.Kind()}
	return apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{limitrange.Admission(f, client)}, nil
		}
	}).Client
}

// limited is a namespace with one LimitRange that nobody waited for.
func limited(t *testing.T, client kubernetes.Interface, limits string) string {
	t.Helper()
	n, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "n-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := admittest.YAML[corev1.LimitRange](t, `{metadata: {name: l}, spec: {limits: [`+limits+`]}}`)
	if _, err := client.CoreV1().LimitRanges(n.Name).Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return n.Name
}

func TestContainersGetDefaults(t *testing.T) {
	client := start(t)
	namespace := limited(t, client, `{type: Container, default: {cpu: 500m, memory: 1Gi}, defaultRequest: {cpu: 100m}}`)
	p := admittest.YAML[corev1.Pod](t, `{metadata: {name: p}, spec: {containers: [{name: a, image: i}, {name: b, image: i, resources: {limits: {cpu: "2"}}}]}}`)
	p, err := client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := p.Spec.Containers[0].Resources, p.Spec.Containers[1].Resources
	if a.Requests.Cpu().String() != "100m" || a.Requests.Memory().String() != "1Gi" || a.Limits.Cpu().String() != "500m" || a.Limits.Memory().String() != "1Gi" {
		t.Errorf("a: %v", a)
	}
	if b.Requests.Cpu().String() != "2" || b.Limits.Cpu().String() != "2" || b.Limits.Memory().String() != "1Gi" {
		t.Errorf("b: %v", b)
	}
	want := "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; memory request for container b; memory limit for container b"
	if got := p.Annotations["kubernetes.io/limit-ranger"]; got != want {
		t.Errorf("annotation %q", got)
	}
}

func TestPodsBeyondBoundsAreRefused(t *testing.T) {
	client := start(t)
	for name, c := range map[string]struct{ limits, resources, want string }{
		"within":      {`{type: Container, min: {cpu: 100m}, max: {cpu: "1"}}`, `{requests: {cpu: 200m}, limits: {cpu: "1"}}`, ""},
		"too little":  {`{type: Container, min: {cpu: 100m}}`, `{requests: {cpu: 50m}}`, "minimum cpu usage per Container is 100m, but request is 50m"},
		"too much":    {`{type: Container, max: {memory: 1Gi}}`, `{limits: {memory: 2Gi}}`, "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
		"no limit":    {`{type: Pod, max: {memory: 1Gi}}`, `{}`, "maximum memory usage per Pod is 1Gi.  No limit is specified"},
		"no request":  {`{type: Pod, min: {cpu: 100m}}`, `{}`, "minimum cpu usage per Pod is 100m.  No request is specified"},
		"whole pod":   {`{type: Pod, max: {cpu: "1"}}`, `{limits: {cpu: 600m}}`, "maximum cpu usage per Pod is 1, but limit is 1200m"},
		"ratio":       {`{type: Container, maxLimitRequestRatio: {cpu: "2"}}`, `{requests: {cpu: 100m}, limits: {cpu: 300m}}`, "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"},
		"ratio unset": {`{type: Container, maxLimitRequestRatio: {cpu: "2"}}`, `{requests: {cpu: 100m}}`, "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := limited(t, client, c.limits)
			containers := `{name: a, image: i, resources: ` + c.resources + `}`
			if name == "whole pod" {
				containers += `, {name: b, image: i, resources: ` + c.resources + `}`
			}
			p := admittest.YAML[corev1.Pod](t, `{metadata: {name: p}, spec: {containers: [`+containers+`]}}`)
			_, err := client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{})
			admittest.Check(t, err, c.want)
		})
	}
}

func TestClaimsBeyondBoundsAreRefused(t *testing.T) {
	client := start(t)
	namespace := limited(t, client, `{type: PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 2Gi}}`)
	for size, want := range map[string]string{
		"1Gi": "",
		"1Mi": "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi",
		"3Gi": "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
	} {
		claim := admittest.YAML[corev1.PersistentVolumeClaim](t, `{metadata: {generateName: c-}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: `+size+`}}}}`)
		_, err := client.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), claim, metav1.CreateOptions{})
		admittest.Check(t, err, want)
	}
}
