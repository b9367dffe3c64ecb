package resourcequota_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/kinds/configmap"
	"dhow/kinds/cronjob"
	"dhow/kinds/daemonset"
	"dhow/kinds/deployment"
	"dhow/kinds/horizontalpodautoscaler"
	"dhow/kinds/ingress"
	"dhow/kinds/job"
	"dhow/kinds/namespace"
	"dhow/kinds/networkpolicy"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	"dhow/kinds/poddisruptionbudget"
	"dhow/kinds/replicaset"
	"dhow/kinds/replicationcontroller"
	"dhow/kinds/resourceclaim"
	"dhow/kinds/resourcequota"
	"dhow/kinds/secret"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/statefulset"
)

// server is an administrator's client, and what the server's own parts have seen so far.
type server struct {
	kubernetes.Interface
	seen corelisters.ResourceQuotaLister
}

// start serves what the controller watches, with admission and the controller at work.
func start(t *testing.T) *server {
	t.Helper()
	services, err := service.Kind(service.Config{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/24")}, FirstNodePort: 30000, LastNodePort: 30100})
	if err != nil {
		t.Fatal(err)
	}
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), configmap.Kind(), pod.Kind(pod.Config{}), services,
		serviceaccount.Kind(serviceaccount.Config{}), deployment.Kind(), replicaset.Kind(), statefulset.Kind(), daemonset.Kind(), job.Kind(), cronjob.Kind(), replicationcontroller.Kind(), persistentvolumeclaim.Kind(),
		ingress.Kind(), networkpolicy.Kind(), poddisruptionbudget.Kind(), resourcequota.Kind(), horizontalpodautoscaler.Kind()}
	kinds = append(kinds, resourceclaim.Kinds(resourceclaim.Config{})...)
	var controllers *controller.Manager
	cluster := apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{resourcequota.Admission(f, client)}, nil
		}
	})
	controllers, err = controller.New(controller.Config{
		Client:    func(string) (kubernetes.Interface, error) { return cluster.Client, nil },
		Informers: cluster.Informers, Controllers: []controller.Controller{resourcequota.Controller()},
	})
	if err != nil {
		t.Fatal(err)
	}
	cluster.Informers.Start(cluster.Context.Done())
	ended := make(chan error, 1)
	go func() { ended <- controllers.Run(cluster.Context) }()
	if err := controllers.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &server{cluster.Client, cluster.Informers.Core().V1().ResourceQuotas().Lister()}
}

// bounded makes a namespace with a quota whose use has been counted, as admission has seen.
func bounded(t *testing.T, client *server, spec string) string {
	t.Helper()
	n, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "n-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	q := admittest.YAML[corev1.ResourceQuota](t, `{metadata: {name: q}, spec: `+spec+`}`)
	if _, err := client.CoreV1().ResourceQuotas(n.Name).Create(t.Context(), q, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		q, err := client.seen.ResourceQuotas(n.Name).Get("q")
		return err == nil && len(q.Status.Used) == len(q.Spec.Hard)
	})
	return n.Name
}

func used(t *testing.T, client *server, namespace, name, want string) {
	t.Helper()
	last := ""
	defer func() {
		if last != want {
			t.Errorf("%s used %s, want %s", name, last, want)
		}
	}()
	apiservertest.Eventually(t, func() bool {
		q, err := client.seen.ResourceQuotas(namespace).Get("q")
		if err != nil {
			t.Fatal(err)
		}
		amount := q.Status.Used[corev1.ResourceName(name)]
		last = amount.String()
		return last == want
	})
}

// makePod makes a pod of a generated name.
func makePod(t *testing.T, client *server, namespace, spec string) (*corev1.Pod, error) {
	t.Helper()
	p := admittest.YAML[corev1.Pod](t, `{metadata: {generateName: p-}, spec: `+spec+`}`)
	return client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{})
}

const small = `{containers: [{name: c, image: i, resources: {requests: {cpu: 400m, memory: 1Mi}}}]}`

func TestPodsBeyondTheQuotaAreRefusedUntilOthersGo(t *testing.T) {
	client := start(t)
	namespace := bounded(t, client, `{hard: {pods: "5", requests.cpu: "1"}}`)
	first, err := makePod(t, client, namespace, small)
	admittest.Check(t, err, "")
	_, err = makePod(t, client, namespace, small)
	admittest.Check(t, err, "")
	_, err = makePod(t, client, namespace, small)
	admittest.Check(t, err, "is forbidden: exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=800m, limited: requests.cpu=1")
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	_, err = makePod(t, client, namespace, `{containers: [{name: c, image: i}]}`)
	admittest.Check(t, err, "is forbidden: failed quota: q: must specify requests.cpu for: c")

	now := int64(0)
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), first.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	used(t, client, namespace, "requests.cpu", "400m")
	used(t, client, namespace, "pods", "1")
	_, err = makePod(t, client, namespace, small)
	admittest.Check(t, err, "")
}

func TestManyAtOnceNeverExceedTheQuota(t *testing.T) {
	client := start(t)
	namespace := bounded(t, client, `{hard: {count/configmaps: "10", configmaps: "12"}}`)
	var made, refused atomic.Int32
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}}
			switch _, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), m, metav1.CreateOptions{}); {
			case err == nil:
				made.Add(1)
			case apierrors.IsForbidden(err):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 10 || refused.Load() != 20 {
		t.Errorf("%d made, %d refused", made.Load(), refused.Load())
	}
	used(t, client, namespace, "configmaps", "10")
}

func TestObjectsAreCountedByKindAndBySize(t *testing.T) {
	client := start(t)
	namespace := bounded(t, client, `{hard: {services: "9", services.nodeports: "2", services.loadbalancers: "0", requests.storage: 3Gi,
		gold.storageclass.storage.k8s.io/requests.storage: 1Gi, count/deployments.apps: "1", count/networkpolicies.networking.k8s.io: "4"}}`)
	ports := func(kind string, n int) error {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{GenerateName: "s-"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceType(kind)}}
		for i := range n {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", i), Port: int32(80 + i)})
		}
		_, err := client.CoreV1().Services(namespace).Create(t.Context(), s, metav1.CreateOptions{})
		return err
	}
	admittest.Check(t, ports("NodePort", 2), "")
	admittest.Check(t, ports("NodePort", 1), "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=2, limited: services.nodeports=2")
	admittest.Check(t, ports("LoadBalancer", 1), "exceeded quota: q, requested: services.loadbalancers=1,services.nodeports=1, used: services.loadbalancers=0,services.nodeports=2, limited: services.loadbalancers=0,services.nodeports=2")
	admittest.Check(t, ports("ClusterIP", 1), "")

	claim := func(class, size string) error {
		c := admittest.YAML[corev1.PersistentVolumeClaim](t, `{metadata: {generateName: c-}, spec: {storageClassName: `+class+`, accessModes: [ReadWriteOnce], resources: {requests: {storage: `+size+`}}}}`)
		_, err := client.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), c, metav1.CreateOptions{})
		return err
	}
	admittest.Check(t, claim("silver", "2Gi"), "")
	admittest.Check(t, claim("silver", "2Gi"), "exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi")
	admittest.Check(t, claim("gold", "2Gi"), "limited: gold.storageclass.storage.k8s.io/requests.storage=1Gi,requests.storage=3Gi")

	deploy := func() error {
		d := admittest.YAML[appsv1.Deployment](t, `{metadata: {generateName: d-}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`)
		_, err := client.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{})
		return err
	}
	admittest.Check(t, deploy(), "")
	admittest.Check(t, deploy(), "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1")
}

func TestScopedQuotasBoundOnlyTheirPods(t *testing.T) {
	client := start(t)
	namespace := bounded(t, client, `{hard: {pods: "0"}, scopes: [BestEffort]}`)
	_, err := makePod(t, client, namespace, `{containers: [{name: c, image: i}]}`)
	admittest.Check(t, err, "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0")
	_, err = makePod(t, client, namespace, small)
	admittest.Check(t, err, "")
}
