package endpointslice_test

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/endpoints"
	"dhow/kinds/endpointslice"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
)

// control runs the controllers of Services' backends on a server.
func control(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	services, err := service.Kind(service.Config{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/24")}, FirstNodePort: 30000, LastNodePort: 30019})
	check(t, err)
	c := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), event.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), services, endpoints.Kind(), endpointslice.Kind()}, nil)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, endpointslice.Controller(), endpointslice.Mirroring(), endpoints.Controller())
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeService(t *testing.T, c *apiservertest.Cluster, name string, selector map[string]string) {
	t.Helper()
	_, err := c.Client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	check(t, err)
}

// runPod makes a pod and says, as its node would, that it is ready at an address.
func runPod(t *testing.T, c *apiservertest.Cluster, name, ip string) {
	t.Helper()
	pods := c.Client.CoreV1().Pods("default")
	p, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	check(t, err)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	_, err = pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	check(t, err)
}

func slicesOf(t *testing.T, c *apiservertest.Cluster, name string) []discoveryv1.EndpointSlice {
	t.Helper()
	all, err := c.Client.DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
	check(t, err)
	return all.Items
}

// listedIn counts the endpoints in all slices of a Service.
func listedIn(t *testing.T, c *apiservertest.Cluster, name string) int {
	t.Helper()
	n := 0
	for _, slice := range slicesOf(t, c, name) {
		n += len(slice.Endpoints)
	}
	return n
}

func endpointsOf(t *testing.T, c *apiservertest.Cluster, name string) *corev1.Endpoints {
	t.Helper()
	e, err := c.Client.CoreV1().Endpoints("default").Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	check(t, err)
	return e
}

func TestAReadyPodIsListedAtOnce(t *testing.T) {
	c := control(t)
	makeService(t, c, "web", map[string]string{"app": "web"})
	runPod(t, c, "p", "10.42.0.5")
	began := time.Now()
	apiservertest.Eventually(t, func() bool { return listedIn(t, c, "web") == 1 })
	t.Logf("listed %s after it was ready", time.Since(began))
	apiservertest.Eventually(t, func() bool {
		e := endpointsOf(t, c, "web")
		return e != nil && len(e.Subsets) == 1 && e.Subsets[0].Addresses[0].IP == "10.42.0.5"
	})
}

func TestAPodThatTheSelectorLeavesIsListedNoMore(t *testing.T) {
	c := control(t)
	makeService(t, c, "web", map[string]string{"app": "web"})
	runPod(t, c, "p", "10.42.0.5")
	apiservertest.Eventually(t, func() bool { return listedIn(t, c, "web") == 1 })
	pods := c.Client.CoreV1().Pods("default")
	p, err := pods.Get(t.Context(), "p", metav1.GetOptions{})
	check(t, err)
	p.Labels = map[string]string{"app": "other"}
	_, err = pods.Update(t.Context(), p, metav1.UpdateOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool { return listedIn(t, c, "web") == 0 })
}

func TestNothingIsLeftOfAServiceThatIsGone(t *testing.T) {
	c := control(t)
	makeService(t, c, "web", map[string]string{"app": "web"})
	runPod(t, c, "p", "10.42.0.5")
	apiservertest.Eventually(t, func() bool { return listedIn(t, c, "web") == 1 && endpointsOf(t, c, "web") != nil })
	check(t, c.Client.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}))
	apiservertest.Eventually(t, func() bool { return len(slicesOf(t, c, "web")) == 0 && endpointsOf(t, c, "web") == nil })
}

func TestUsersEndpointsAreMirroredUntilTheySaySo(t *testing.T) {
	c := control(t)
	makeService(t, c, "db", nil)
	client := c.Client.CoreV1().Endpoints("default")
	e, err := client.Create(t.Context(), &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Subsets: []corev1.EndpointSubset{{
		Addresses: []corev1.EndpointAddress{{IP: "10.0.0.1"}}, Ports: []corev1.EndpointPort{{Port: 5432}}}}}, metav1.CreateOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool { return listedIn(t, c, "db") == 1 })
	if by := slicesOf(t, c, "db")[0].Labels[discoveryv1.LabelManagedBy]; by != "endpointslicemirroring-controller.k8s.io" {
		t.Errorf("managed by %q", by)
	}
	e.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"}
	_, err = client.Update(t.Context(), e, metav1.UpdateOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool { return len(slicesOf(t, c, "db")) == 0 })
}
