package deployment_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"sigs.k8s.io/yaml"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/kinds/deployment"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/replicaset"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

const ns = metav1.NamespaceDefault

func start(t testing.TB) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), replicaset.Kind(), deployment.Kind(), event.Kind()}, nil)
}

// world is a server with both controllers and, in a kubelet's place, a loop that makes pods ready.
type world struct {
	*apiservertest.Cluster
	t testing.TB

	mu sync.Mutex
	// pods that serve and pods there are, by image.
	ready, all map[string]int
	seen       map[types.UID]*corev1.Pod
	watch      func(w *world) // looks at every change, under mu
}

// startTime is what a pod needs to get ready, long enough that what serves too little meanwhile is seen.
const startTime = 30 * time.Millisecond

// broken is the image whose pods never get ready.
const broken = "broken"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{Cluster: start(t), t: t, ready: map[string]int{}, all: map[string]int{}, seen: map[types.UID]*corev1.Pod{}, watch: func(*world) {}}
	manager, err := controller.New(controller.Config{
		Client:    func(string) (kubernetes.Interface, error) { return w.Client, nil },
		Informers: w.Informers, Controllers: []controller.Controller{replicaset.Controller(), deployment.Controller()},
	})
	w.check(err)
	ctx, stop := context.WithCancel(w.Context)
	var running sync.WaitGroup
	fresh := make(chan string, 1000)
	_, err = w.Informers.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			w.note(obj.(*corev1.Pod), false)
			time.AfterFunc(startTime, func() { fresh <- obj.(*corev1.Pod).Name })
		},
		UpdateFunc: func(_, obj any) { w.note(obj.(*corev1.Pod), false) },
		DeleteFunc: func(obj any) { w.note(obj.(*corev1.Pod), true) },
	})
	w.check(err)
	w.Informers.Start(w.Context.Done())
	running.Go(func() { w.check(manager.Run(ctx)) })
	running.Go(func() { w.kubelet(ctx, fresh) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	w.check(manager.Ready(t.Context()))
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
	}
}

// note keeps the counts.
func (w *world) note(p *corev1.Pod, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := func(p *corev1.Pod, by int) {
		if p == nil {
			return
		}
		image := p.Spec.Containers[0].Image
		w.all[image] += by
		if p.DeletionTimestamp == nil && len(p.Status.Conditions) > 0 && p.Status.Conditions[0].Status == corev1.ConditionTrue {
			w.ready[image] += by
		}
	}
	count(w.seen[p.UID], -1)
	delete(w.seen, p.UID)
	if !gone {
		w.seen[p.UID] = p
		count(p, 1)
	}
	w.watch(w)
}

func (w *world) setWatch(f func(w *world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch = f
}

// watchSizes returns how large all sets together have been at most.
func (w *world) watchSizes() func() int {
	w.t.Helper()
	sizes, most := map[string]int{}, 0
	note := func(obj any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		rs, sum := obj.(*appsv1.ReplicaSet), 0
		sizes[rs.Name] = int(*rs.Spec.Replicas)
		for _, size := range sizes {
			sum += size
		}
		most = max(most, sum)
	}
	_, err := w.Informers.Apps().V1().ReplicaSets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: note, UpdateFunc: func(_, obj any) { note(obj) },
	})
	w.check(err)
	return func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return most
	}
}

func (w *world) kubelet(ctx context.Context, fresh <-chan string) {
	status := []byte(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`)
	for {
		select {
		case name := <-fresh:
			p, err := w.Informers.Core().V1().Pods().Lister().Pods(ns).Get(name)
			if err == nil && p.Spec.Containers[0].Image != broken {
				_, _ = w.Client.CoreV1().Pods(ns).Patch(ctx, name, types.MergePatchType, status, metav1.PatchOptions{}, "status") // it may be gone
			}
		case <-ctx.Done():
			return
		}
	}
}

// create makes the Deployment "d" with image v1.
func (w *world) create(replicas int, spec string) *appsv1.Deployment {
	w.t.Helper()
	made, err := w.Client.AppsV1().Deployments(ns).Create(w.t.Context(), deploymentOf(w.t, replicas, spec), metav1.CreateOptions{})
	w.check(err)
	return made
}

func deploymentOf(t testing.TB, replicas int, spec string) *appsv1.Deployment {
	t.Helper()
	text := fmt.Sprintf(`{metadata: {name: d}, spec: {replicas: %d, %s selector: {matchLabels: {app: a}}, template: {
		metadata: {labels: {app: a}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: v1}]}}}}`, replicas, spec)
	d := &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) edit(f func(d *appsv1.Deployment)) {
	w.t.Helper()
	w.check(retry.RetryOnConflict(wait.Backoff{Steps: 1000, Duration: time.Millisecond}, // the controller writes, too
		func() error {
			d := w.get()
			f(d)
			_, err := w.Client.AppsV1().Deployments(ns).Update(w.t.Context(), d, metav1.UpdateOptions{})
			return err
		}))
}

func image(name string) func(d *appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = name }
}

func replicas(n int32) func(d *appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Replicas = &n }
}

func (w *world) get() *appsv1.Deployment {
	w.t.Helper()
	d, err := w.Client.AppsV1().Deployments(ns).Get(w.t.Context(), "d", metav1.GetOptions{})
	w.check(err)
	return d
}

// sets are the ReplicaSets by image.
func (w *world) sets() map[string]*appsv1.ReplicaSet {
	w.t.Helper()
	list, err := w.Client.AppsV1().ReplicaSets(ns).List(w.t.Context(), metav1.ListOptions{})
	w.check(err)
	sets := map[string]*appsv1.ReplicaSet{}
	for i, rs := range list.Items {
		sets[rs.Spec.Template.Spec.Containers[0].Image] = &list.Items[i]
	}
	if len(sets) != len(list.Items) {
		w.t.Errorf("%d sets of %d templates", len(list.Items), len(sets))
	}
	return sets
}

// sizes are the ReplicaSets' replicas, as map[v1:3].
func (w *world) sizes() string {
	w.t.Helper()
	sizes := map[string]int32{}
	for image, rs := range w.sets() {
		sizes[image] = *rs.Spec.Replicas
	}
	return fmt.Sprint(sizes)
}

// eventually waits until what is as wanted, and else says what it is.
func (w *world) eventually(want string, what func() string) {
	w.t.Helper()
	got := ""
	defer func() {
		if got != want {
			w.t.Logf("got %s, want %s", got, want)
		}
	}()
	apiservertest.Eventually(w.t, func() bool {
		got = what()
		return got == want
	})
}

// progress is the reason of the Progressing condition of the present generation.
func (w *world) progress() string {
	w.t.Helper()
	d := w.get()
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && d.Status.ObservedGeneration == d.Generation {
			return c.Reason
		}
	}
	return ""
}

// rolledOut waits as "kubectl rollout status" does.
func (w *world) rolledOut() {
	w.t.Helper()
	w.eventually("deployment \"d\" successfully rolled out\n", func() string {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w.get())
		w.check(err)
		object["kind"], object["apiVersion"] = "Deployment", "apps/v1"
		text, _, err := (&polymorphichelpers.DeploymentStatusViewer{}).Status(&unstructured.Unstructured{Object: object}, 0)
		if err != nil {
			return err.Error() // its deadline is over, which the next change ends
		}
		return text
	})
}
