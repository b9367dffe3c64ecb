package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/csi"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolume"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	"dhow/kinds/poddisruptionbudget"
	"dhow/kinds/replicaset"
	"dhow/kinds/replicationcontroller"
	"dhow/kinds/secret"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/statefulset"
	"dhow/kinds/storageclass"
)

// serve runs an API server with what a scheduler looks at.
func serve(t testing.TB) *apiservertest.Cluster {
	t.Helper()
	services, err := service.Kind(service.Config{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}})
	if err != nil {
		t.Fatal(err)
	}
	kinds := []apiserver.Kind{
		pod.Kind(pod.Config{}), node.Kind(node.Config{}), namespace.Kind(), event.Kind(), services, secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), replicaset.Kind(), statefulset.Kind(), replicationcontroller.Kind(),
		poddisruptionbudget.Kind(), persistentvolume.Kind(), persistentvolumeclaim.Kind(), storageclass.Kind(),
	}
	kinds = append(kinds, csi.Kinds()...)
	return apiservertest.Start(t, kinds, nil)
}

// schedule runs a scheduler until the test ends.
func schedule(t testing.TB, c *apiservertest.Cluster) {
	t.Helper()
	s, err := New(Config{Client: c.Client, Informers: c.Informers, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	c.Informers.Start(c.Context.Done())
	ctx, stop := context.WithCancel(c.Context)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("scheduler: %v", err)
		}
	})
	wait, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := s.Ready(wait); err != nil {
		t.Fatal(err)
	}
}

func start(t testing.TB) *apiservertest.Cluster {
	t.Helper()
	c := serve(t)
	schedule(t, c)
	return c
}

func addNode(t testing.TB, c *apiservertest.Cluster, name, cpu string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("256Gi"), "pods": resource.MustParse("100k")}
	if _, err := c.Client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func addPod(t testing.TB, c *apiservertest.Cluster, name, cpu string, change ...func(*corev1.Pod)) {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)}},
	}}}}
	for _, f := range change {
		f(p)
	}
	if _, err := c.Client.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, c *apiservertest.Cluster, name string) *corev1.Pod {
	t.Helper()
	p, err := c.Client.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// isOn waits until a pod is bound to a node.
func isOn(t testing.TB, c *apiservertest.Cluster, name, node string) {
	t.Helper()
	apiservertest.Eventually(t, func() bool { return get(t, c, name).Spec.NodeName == node })
}

// says waits until a pod's event with the reason says message.
func says(t testing.TB, c *apiservertest.Cluster, name, reason, message string) {
	t.Helper()
	var seen []string
	found := false
	defer func() {
		if !found {
			t.Logf("events %q, want %s: %s", seen, reason, message)
		}
	}()
	apiservertest.Eventually(t, func() bool {
		list, err := c.Client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
		if err != nil {
			t.Fatal(err)
		}
		seen = nil
		for _, e := range list.Items {
			if e.Reason == reason && e.Message == message && e.Source.Component == "default-scheduler" {
				found = true
			}
			seen = append(seen, e.Reason+": "+e.Message)
		}
		return found
	})
}

func TestBindsAPodAndSaysSo(t *testing.T) {
	c := start(t)
	addNode(t, c, "a", "4")
	addPod(t, c, "p", "1")
	isOn(t, c, "p", "a")
	says(t, c, "p", "Scheduled", "Successfully assigned default/p to a")
}

func TestSaysWhyAPodDoesNotFitAndBindsItOnceItDoes(t *testing.T) {
	c := start(t)
	addNode(t, c, "a", "1")
	addPod(t, c, "first", "800m")
	isOn(t, c, "first", "a")
	addPod(t, c, "p", "500m")
	says(t, c, "p", "FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.")
	apiservertest.Eventually(t, func() bool {
		for _, cond := range get(t, c, "p").Status.Conditions {
			if cond.Type == corev1.PodScheduled {
				return cond.Status == corev1.ConditionFalse && cond.Reason == "Unschedulable" && cond.Message == "0/1 nodes are available: 1 Insufficient cpu."
			}
		}
		return false
	})
	if err := c.Client.CoreV1().Pods("default").Delete(t.Context(), "first", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	isOn(t, c, "p", "a")
}

func TestAPodWaitsForANode(t *testing.T) {
	c := start(t)
	addPod(t, c, "p", "1")
	says(t, c, "p", "FailedScheduling", "no nodes available to schedule pods")
	addNode(t, c, "a", "4")
	isOn(t, c, "p", "a")
}

func TestGatedAndForeignPodsAreLeftAlone(t *testing.T) {
	c := start(t)
	addNode(t, c, "a", "4")
	addPod(t, c, "gated", "1", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}} })
	addPod(t, c, "foreign", "1", func(p *corev1.Pod) { p.Spec.SchedulerName = "other" })
	addPod(t, c, "after", "1")
	isOn(t, c, "after", "a")
	for _, name := range []string{"gated", "foreign"} {
		if at := get(t, c, name).Spec.NodeName; at != "" {
			t.Errorf("%s is on %q", name, at)
		}
	}
	open := []byte(`{"spec":{"schedulingGates":null}}`)
	if _, err := c.Client.CoreV1().Pods("default").Patch(t.Context(), "gated", types.MergePatchType, open, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	isOn(t, c, "gated", "a")
}

func TestAPodFollowsItsVolume(t *testing.T) {
	c := start(t)
	addNode(t, c, "a", "4")
	addNode(t, c, "b", "4")
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	if _, err := c.Client.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "x", VolumeBindingMode: &wait,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	addPod(t, c, "p", "1", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	})
	says(t, c, "p", "FailedScheduling", `0/2 nodes are available: persistentvolumeclaim "data" not found.`)
	claims, class := c.Client.CoreV1().PersistentVolumeClaims("default"), "local"
	claim, err := claims.Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		claim, err = claims.Get(t.Context(), "data", metav1.GetOptions{})
		return err == nil && claim.Annotations[selectedNode] != ""
	})
	if at := get(t, c, "p").Spec.NodeName; at != "" {
		t.Errorf("bound to %q before its volume", at)
	}
	other := map[string]string{"a": "b", "b": "a"}[claim.Annotations[selectedNode]]
	if _, err := c.Client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec: corev1.PersistentVolumeSpec{
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: onNode(other)}, Capacity: corev1.ResourceList{"storage": resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := claims.Patch(t.Context(), "data", types.MergePatchType, []byte(`{"spec":{"volumeName":"pv"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	isOn(t, c, "p", other)
}

func TestManyPodsSpreadOverNodes(t *testing.T) {
	c := start(t)
	for i := range 5 {
		addNode(t, c, fmt.Sprint("n", i), "4")
	}
	for i := range 50 {
		addPod(t, c, fmt.Sprint("p", i), "100m")
	}
	count := map[string]int{}
	apiservertest.Eventually(t, func() bool {
		list, err := c.Client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		clear(count)
		for _, p := range list.Items {
			count[p.Spec.NodeName]++
		}
		return count[""] == 0
	})
	for name, n := range count {
		if n != 10 {
			t.Errorf("%d pods on %s, want 10 on each: %v", n, name, count)
		}
	}
}

// BenchmarkBindOne is the time from the answer to a pod's creation until the pod is seen bound.
func BenchmarkBindOne(b *testing.B) {
	c := start(b)
	addNode(b, c, "a", "4k")
	w, err := c.Client.CoreV1().Pods("default").Watch(b.Context(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	i := 0
	for b.Loop() {
		name := fmt.Sprint("p", i)
		i++
		addPod(b, c, name, "1m")
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok && p.Name == name && p.Spec.NodeName != "" {
				break
			}
		}
	}
}

// BenchmarkBind5000 is the rate at which 5,000 waiting pods are bound through the API, to 5,000 nodes.
func BenchmarkBind5000(b *testing.B) {
	const many = 5000
	for range b.N {
		c := serve(b)
		var adding sync.WaitGroup
		for worker := range 16 {
			adding.Go(func() {
				for i := worker; i < many; i += 16 {
					addNode(b, c, fmt.Sprint("n", i), "64")
					addPod(b, c, fmt.Sprint("p", i), "1m")
				}
			})
		}
		adding.Wait()
		began := time.Now()
		schedule(b, c)
		apiservertest.Eventually(b, func() bool {
			pods, err := c.Informers.Core().V1().Pods().Lister().List(labels.Everything())
			return err == nil && len(pods) == many && !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.Spec.NodeName == "" })
		})
		b.ReportMetric(many/time.Since(began).Seconds(), "pods/s")
	}
}
