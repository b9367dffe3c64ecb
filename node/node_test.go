package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/containertest"
)

// machine is a node agent on a fake cluster with a fake runtime.
type machine struct {
	t       *testing.T
	client  *fake.Clientset
	runtime *containertest.Fake
	images  *fakeImages
	watches *watches
	starts  int
	dir     string
	stop    func()
}

const nodeName = "n1"

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{
		t: t, runtime: containertest.NewFake(), images: &fakeImages{present: map[string]bool{"img": true}, remote: map[string]bool{}}, dir: t.TempDir(),
		client: fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.0.0.0/24"}}}),
	}
	m.watches = watchesOf(m.client)
	writesStatusAlone(m.client)
	m.start()
	t.Cleanup(func() { m.stop() })
	return m
}

// start runs an agent, a new one on what an earlier one has left.
func (m *machine) start() {
	m.t.Helper()
	factory := informers.NewSharedInformerFactory(m.client, 0)
	n, err := New(Config{
		Name: nodeName, Client: m.client, Informers: factory, Runtime: m.runtime, Images: m.images, NodeIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		ClusterDNS: netip.MustParseAddr("10.43.0.10"), ClusterDomain: "cluster.local",
		Volumes: filepath.Join(m.dir, "pods"), Logs: filepath.Join(m.dir, "logs"), Manifests: filepath.Join(m.dir, "manifests"),
		Log: slog.New(slog.NewTextHandler(m.t.Output(), nil)),
	})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	m.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("agent: %v", err)
		}
		m.stop = func() {}
	}
	ready, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if err := n.Ready(ready); err != nil {
		m.t.Fatal(err)
	}
	m.starts++
	m.until("it follows what it reads", func() bool { return m.watches.atLeast(m.starts) })
}

func pod(name string, containers ...corev1.Container) *corev1.Pod {
	grace := int64(30)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name)},
		Spec: corev1.PodSpec{
			NodeName: nodeName, Containers: containers, RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
			TerminationGracePeriodSeconds: &grace,
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

func ctr(name string) corev1.Container {
	return corev1.Container{Name: name, Image: "img", ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePath: "/dev/termination-log"}
}

func (m *machine) create(p *corev1.Pod) {
	m.t.Helper()
	if _, err := m.client.CoreV1().Pods(p.Namespace).Create(context.Background(), p, metav1.CreateOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) get(name string) *corev1.Pod {
	m.t.Helper()
	p, err := m.client.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// until polls for at most a minute.
func (m *machine) until(what string, is func() bool) {
	m.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			m.t.Fatalf("not so within a minute: %s", what)
		}
	}
}

func (m *machine) untilPod(name, what string, is func(p *corev1.Pod) bool) *corev1.Pod {
	m.t.Helper()
	var last *corev1.Pod
	defer func() {
		if m.t.Failed() && last != nil {
			m.t.Logf("its status is %+v", last.Status)
		}
	}()
	m.until(name+" "+what, func() bool {
		last = m.get(name)
		return last != nil && is(last)
	})
	return last
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func waitingFor(reason string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == reason
	}
}

func phase(want corev1.PodPhase) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return p.Status.Phase == want }
}

func TestAPodRunsAndIsReady(t *testing.T) {
	m := newMachine(t)
	m.create(pod("a", ctr("one"), ctr("two")))
	p := m.untilPod("a", "is ready", ready)
	if p.Status.Phase != corev1.PodRunning || p.Status.PodIP != "127.0.0.1" || p.Status.HostIP != "192.0.2.1" || p.Status.StartTime == nil {
		t.Errorf("status %+v", p.Status)
	}
	if len(p.Status.ContainerStatuses) != 2 || !*p.Status.ContainerStatuses[0].Started {
		t.Errorf("container statuses %+v", p.Status.ContainerStatuses)
	}
}

func TestACrashingContainerIsStartedAgainAndThenWaits(t *testing.T) {
	m := newMachine(t)
	m.create(pod("a", ctr("main")))
	m.untilPod("a", "is ready", ready)
	m.runtime.Exit("main", 3)
	p := m.untilPod("a", "was started again", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount == 1 && ready(p) })
	if last := p.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 3 {
		t.Errorf("last state %+v", last)
	}
	m.runtime.Exit("main", 4)
	p = m.untilPod("a", "waits", waitingFor("CrashLoopBackOff"))
	if p.Status.Phase != corev1.PodRunning || ready(p) || p.Status.ContainerStatuses[0].LastTerminationState.Terminated.ExitCode != 4 {
		t.Errorf("status %+v", p.Status)
	}
}

func TestBackOffGrowsAndIsForgotten(t *testing.T) {
	b, now := &backOff{}, time.Now()
	if b.left(now, now) != 0 {
		t.Error("a first try waits")
	}
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		b.tried(now)
		if got := b.left(now, now); got != want*time.Second {
			t.Errorf("waits %v, want %v s", got, int(want))
		}
	}
	if left := b.left(now, now.Add(11*time.Minute)); left != 0 {
		t.Errorf("after eleven good minutes it waits %v", left)
	}
}

func TestPodsThatAreNotStartedAgainEnd(t *testing.T) {
	for _, c := range []struct {
		policy corev1.RestartPolicy
		code   int32
		want   corev1.PodPhase
	}{
		{corev1.RestartPolicyNever, 0, corev1.PodSucceeded},
		{corev1.RestartPolicyNever, 1, corev1.PodFailed},
		{corev1.RestartPolicyOnFailure, 0, corev1.PodSucceeded},
	} {
		t.Run(fmt.Sprintf("%s %d", c.policy, c.code), func(t *testing.T) {
			m := newMachine(t)
			p := pod("a", ctr("main"))
			p.Spec.RestartPolicy = c.policy
			m.create(p)
			m.untilPod("a", "is ready", ready)
			m.runtime.Exit("main", c.code)
			end := m.untilPod("a", "has ended", phase(c.want))
			if s := end.Status.ContainerStatuses[0].State.Terminated; s == nil || s.ExitCode != c.code {
				t.Errorf("state %+v", end.Status.ContainerStatuses[0].State)
			}
			m.until("its sandbox is given back", func() bool { return m.runtime.Did("stop sandbox a") })
		})
	}
}

func TestInitContainersRunOneAfterTheOther(t *testing.T) {
	m := newMachine(t)
	p := pod("a", ctr("main"))
	p.Spec.InitContainers = []corev1.Container{ctr("first"), ctr("second")}
	m.create(p)
	m.until("first runs", func() bool { return m.runtime.Did("start first") })
	if m.runtime.Did("start second") || m.runtime.Did("start main") {
		t.Fatalf("others did not wait: %v", m.runtime.Calls())
	}
	m.runtime.Exit("first", 0)
	m.until("second runs", func() bool { return m.runtime.Did("start second") })
	if w := m.get("a").Status.ContainerStatuses[0].State.Waiting; w == nil || w.Reason != "PodInitializing" {
		t.Errorf("main waits for %+v", w)
	}
	m.runtime.Exit("second", 0)
	m.untilPod("a", "is ready", ready)
}

func TestAFailedInitContainerFailsAPodThatIsNotStartedAgain(t *testing.T) {
	m := newMachine(t)
	p := pod("a", ctr("main"))
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.InitContainers = []corev1.Container{ctr("first")}
	m.create(p)
	m.until("first runs", func() bool { return m.runtime.Did("start first") })
	m.runtime.Exit("first", 1)
	m.untilPod("a", "has failed", phase(corev1.PodFailed))
	if m.runtime.Did("start main") {
		t.Error("the app container was started")
	}
}

func TestSidecarsStartFirstAndEndLast(t *testing.T) {
	m := newMachine(t)
	always := corev1.ContainerRestartPolicyAlways
	side := ctr("side")
	side.RestartPolicy = &always
	p := pod("a", ctr("main"))
	p.Spec.InitContainers = []corev1.Container{side}
	m.create(p)
	m.untilPod("a", "is ready", ready)
	m.delete("a", 5)
	m.until("it is gone", func() bool { return m.get("a") == nil })
	var seen []string
	for _, call := range m.runtime.Calls() {
		if strings.HasSuffix(call, " main") || strings.HasSuffix(call, " side") {
			seen = append(seen, call)
		}
	}
	if want := []string{"start side", "start main", "stop main", "stop side"}; !slices.Equal(seen, want) {
		t.Errorf("order %v, want %v", seen, want)
	}
}

// delete marks a pod as the API server does; the fake one would drop it at once.
func (m *machine) delete(name string, grace int64) {
	m.t.Helper()
	p := m.get(name)
	at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	if _, err := m.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

func TestADeletedPodEndsGracefullyAndLeavesNothing(t *testing.T) {
	m := newMachine(t)
	c := ctr("main")
	c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"bye"}}}}
	m.create(pod("a", c))
	m.untilPod("a", "is ready", ready)
	m.delete("a", 5)
	m.until("it is gone", func() bool { return m.get("a") == nil })
	m.until("its sandbox is removed", func() bool { return m.runtime.Did("remove sandbox a") })
	calls := m.runtime.Calls()
	if hook, stop := slices.Index(calls, "exec main [bye]"), slices.Index(calls, "stop main"); hook < 0 || hook > stop {
		t.Errorf("the hook did not run before the end: %v", calls)
	}
	m.until("its files are removed", func() bool {
		_, err := os.Stat(filepath.Join(m.dir, "pods", "uid-a"))
		return os.IsNotExist(err)
	})
}

func TestAShorterGraceIsHeeded(t *testing.T) {
	m := newMachine(t)
	m.runtime.Deafen("main")
	m.create(pod("a", ctr("main")))
	m.untilPod("a", "is ready", ready)
	m.delete("a", 3600)
	m.until("it is told to stop", func() bool { return m.runtime.Did("stop main") })
	m.delete("a", 0)
	m.until("it is gone", func() bool { return m.get("a") == nil })
}

func TestForcedDeletionKillsAtOnce(t *testing.T) {
	m := newMachine(t)
	m.runtime.Deafen("main")
	m.create(pod("a", ctr("main")))
	m.untilPod("a", "is ready", ready)
	now := int64(0)
	if err := m.client.CoreV1().Pods("default").Delete(context.Background(), "a", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	m.until("its sandbox is removed", func() bool { return m.runtime.Did("remove sandbox a") })
}

func TestImagesFollowThePullPolicy(t *testing.T) {
	m := newMachine(t)
	never := ctr("main")
	never.Image, never.ImagePullPolicy = "absent", corev1.PullNever
	m.create(pod("never", never))
	m.untilPod("never", "says so", waitingFor("ErrImageNeverPull"))
	missing := ctr("main")
	missing.Image = "absent"
	m.create(pod("missing", missing))
	m.untilPod("missing", "says so", waitingFor("ErrImagePull"))
	m.images.mu.Lock()
	m.images.remote["far"] = true
	m.images.mu.Unlock()
	far := ctr("main")
	far.Image = "far"
	m.create(pod("far", far))
	m.untilPod("far", "is ready", ready)
}

func TestAMissingConfigMapIsToldAndWaitedFor(t *testing.T) {
	m := newMachine(t)
	c := ctr("main")
	c.Env = []corev1.EnvVar{{Name: "KEY", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "k",
	}}}}
	m.create(pod("a", c))
	p := m.untilPod("a", "says so", waitingFor("CreateContainerConfigError"))
	if message := p.Status.ContainerStatuses[0].State.Waiting.Message; message != `configmap "settings" not found` {
		t.Errorf("message %q", message)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "default"}, Data: map[string]string{"k": "v"}}
	if _, err := m.client.CoreV1().ConfigMaps("default").Create(context.Background(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	m.untilPod("a", "is ready", ready)
	if env := asMap(m.runtime.Config("main").Envs); env["KEY"] != "v" {
		t.Errorf("environment %v", env)
	}
}

// probed is an HTTP server that answers as told, and the action that asks it.
func probed(t *testing.T) (ok *atomic.Bool, get *corev1.HTTPGetAction) {
	t.Helper()
	ok = &atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ok.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return ok, &corev1.HTTPGetAction{Port: intstr.FromInt(port), Scheme: corev1.URISchemeHTTP}
}

func TestReadinessFollowsItsProbe(t *testing.T) {
	m := newMachine(t)
	ok, get := probed(t)
	c := ctr("main")
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, PeriodSeconds: 1, TimeoutSeconds: 60, FailureThreshold: 1, SuccessThreshold: 1}
	m.create(pod("a", c))
	p := m.untilPod("a", "runs", phase(corev1.PodRunning))
	if ready(p) {
		t.Error("ready before its probe says so")
	}
	ok.Store(true)
	m.untilPod("a", "is ready", ready)
	ok.Store(false)
	m.untilPod("a", "is ready no more", func(p *corev1.Pod) bool { return !ready(p) })
	if p := m.get("a"); p.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Error("an unready container was started again")
	}
}

func TestAContainerThatIsNotAliveIsStartedAgain(t *testing.T) {
	m := newMachine(t)
	ok, get := probed(t)
	c := ctr("main")
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, PeriodSeconds: 1, TimeoutSeconds: 60, FailureThreshold: 1}
	ok.Store(true)
	m.create(pod("a", c))
	m.untilPod("a", "is ready", ready)
	ok.Store(false)
	m.until("it is ended", func() bool { return m.runtime.Did("stop main") })
	ok.Store(true)
	m.untilPod("a", "was started again", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount == 1 })
}

func TestNothingIsProbedBeforeTheStartupProbeSucceeds(t *testing.T) {
	m := newMachine(t)
	ok, get := probed(t)
	c := ctr("main")
	c.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, PeriodSeconds: 1, TimeoutSeconds: 60, FailureThreshold: 30}
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"alive"}}}, PeriodSeconds: 1, FailureThreshold: 1}
	m.create(pod("a", c))
	p := m.untilPod("a", "runs", phase(corev1.PodRunning))
	if *p.Status.ContainerStatuses[0].Started || ready(p) || m.runtime.Did("exec main [alive]") {
		t.Errorf("it counts as started: %+v", p.Status.ContainerStatuses[0])
	}
	ok.Store(true)
	m.untilPod("a", "is ready", ready)
	m.until("it is asked whether it is alive", func() bool { return m.runtime.Did("exec main [alive]") })
}

func TestANewAgentTakesOverWhatRuns(t *testing.T) {
	m := newMachine(t)
	m.create(pod("a", ctr("main")))
	m.untilPod("a", "is ready", ready)
	m.stop()
	before := m.runtime.Calls()
	m.start()
	m.create(pod("b", ctr("other")))
	m.untilPod("b", "is ready", ready)
	for _, call := range m.runtime.Calls()[len(before):] {
		if strings.HasSuffix(call, " a") || strings.HasSuffix(call, " main") {
			t.Errorf("the new agent did %q", call)
		}
	}
}

func TestWhatNoOneKnowsIsRemovedAtStart(t *testing.T) {
	m := newMachine(t)
	m.create(pod("a", ctr("main")))
	m.untilPod("a", "is ready", ready)
	m.stop()
	now := int64(0)
	if err := m.client.CoreV1().Pods("default").Delete(context.Background(), "a", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	m.start()
	if !m.runtime.Did("remove sandbox a") {
		t.Errorf("calls %v", m.runtime.Calls())
	}
}

func TestAPodThatIsActiveForTooLongFails(t *testing.T) {
	m := newMachine(t)
	p := pod("a", ctr("main"))
	second := int64(1)
	p.Spec.ActiveDeadlineSeconds = &second
	m.create(p)
	m.until("it runs", func() bool { return m.runtime.Did("start main") })
	end := m.untilPod("a", "has failed", phase(corev1.PodFailed))
	if end.Status.Reason != "DeadlineExceeded" {
		t.Errorf("reason %q", end.Status.Reason)
	}
}

func TestAFailedPostStartHookEndsTheContainer(t *testing.T) {
	m := newMachine(t)
	m.runtime.Execute = func(string, []string) (int, error) { return 1, nil }
	c := ctr("main")
	c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"hello"}}}}
	m.create(pod("a", c))
	m.until("it is ended", func() bool { return m.runtime.Did("stop main") })
	m.untilPod("a", "waits", waitingFor("CrashLoopBackOff"))
}

func TestStaticPodsRunAndAreShown(t *testing.T) {
	m := newMachine(t)
	manifest := filepath.Join(m.dir, "manifests", "web.yaml")
	if err := os.MkdirAll(filepath.Dir(manifest), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers: [{name: main, image: img, imagePullPolicy: IfNotPresent}]\n"
	if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := m.untilPod("web-n1", "is shown ready", ready)
	if !isMirror(p) {
		t.Errorf("annotations %v", p.Annotations)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	m.until("it is gone", func() bool { return m.get("web-n1") == nil && m.runtime.Did("remove sandbox web-n1") })
}

func TestFilesChangeAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	write := func(files map[string]file) {
		t.Helper()
		if err := writeAtomically(dir, files, -1); err != nil {
			t.Fatal(err)
		}
	}
	write(map[string]file{"a": {data: []byte("1"), mode: 0o644}, "sub/b": {data: []byte("1"), mode: 0o600}})
	first, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil {
		t.Fatal(err)
	}
	write(map[string]file{"a": {data: []byte("1"), mode: 0o644}, "sub/b": {data: []byte("1"), mode: 0o600}})
	if again, _ := os.Readlink(filepath.Join(dir, "..data")); again != first {
		t.Error("equal files were written again")
	}
	write(map[string]file{"a": {data: []byte("2"), mode: 0o644}})
	if data, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(data) != "2" {
		t.Errorf("a is %q, %v", data, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "sub")); !os.IsNotExist(err) {
		t.Errorf("sub is still there: %v", err)
	}
	if err := writeAtomically(dir, map[string]file{"../out": {mode: 0o644}}, -1); err == nil {
		t.Error("a path out of the volume was taken")
	}
}

func TestVariablesAreExpanded(t *testing.T) {
	values := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"$(A)": "1", "x$(A)y": "x1y", "$$(A)": "$(A)", "$(NONE)": "$(NONE)", "$(B)": "$(A)", "$": "$", "a$": "a$", "$(A": "$(A", "$A": "$A", "$$": "$",
	} {
		if got := expand(text, values); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

// container is one that runs and that the agent knows nothing of.
func (m *machine) container() string {
	m.t.Helper()
	ctx := m.t.Context()
	sandbox, err := m.runtime.RunPodSandbox(ctx, &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}}, "")
	if err != nil {
		m.t.Fatal(err)
	}
	config := &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "img"}}
	id, err := m.runtime.CreateContainer(ctx, sandbox, config, nil)
	if err == nil {
		err = m.runtime.StartContainer(ctx, id)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return id
}

func TestLogsAreRotatedAndOldOnesRemoved(t *testing.T) {
	m := newMachine(t)
	m.stop()
	n := &Node{config: Config{Runtime: m.runtime}}
	id := m.container()
	log := filepath.Join(t.TempDir(), "0.log")
	for i := range 8 {
		if err := os.WriteFile(log, []byte(strconv.Itoa(i)), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := n.rotate(context.Background(), id, log); err != nil {
			t.Fatal(err)
		}
	}
	old, err := rotated(log)
	if err != nil {
		t.Fatal(err)
	}
	if len(old) != logMostFiles-1 {
		t.Errorf("kept %v", old)
	}
	if plain := slices.DeleteFunc(old, func(f string) bool { return strings.HasSuffix(f, ".gz") }); len(plain) != 1 {
		t.Errorf("not compressed: %v", plain)
	}
}
