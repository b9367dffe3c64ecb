package plugins_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"dhow/api/admit/admittest"
	"dhow/kinds/pod/plugins"
)

// cluster has objects, in caches that are filled.
func cluster(t *testing.T, objects ...runtime.Object) (informers.SharedInformerFactory, kubernetes.Interface, func()) {
	t.Helper()
	client := fake.NewClientset(objects...)
	f := informers.NewSharedInformerFactory(client, time.Hour)
	return f, client, func() {
		f.Start(t.Context().Done())
		f.WaitForCacheSync(t.Context().Done())
	}
}

func podOf(t *testing.T, spec string) *corev1.Pod {
	t.Helper()
	return admittest.YAML[corev1.Pod](t, `{metadata: {name: p, namespace: ns}, spec: `+spec+`}`)
}

func run(t *testing.T, p admission.Interface, pod *corev1.Pod) error {
	t.Helper()
	return admittest.Run(t, p, admittest.Request{Object: pod, Resource: "pods"})
}

func TestImagesArePulledAtEachStart(t *testing.T) {
	pod := podOf(t, `{initContainers: [{name: a, image: a}], containers: [{name: b, image: b, imagePullPolicy: Never}], volumes: [{name: v, image: {reference: c}}]}`)
	admittest.Check(t, run(t, plugins.AlwaysPullImages(), pod), "")
	if pod.Spec.InitContainers[0].ImagePullPolicy != corev1.PullAlways || pod.Spec.Containers[0].ImagePullPolicy != corev1.PullAlways ||
		pod.Spec.Volumes[0].Image.PullPolicy != corev1.PullAlways {
		t.Errorf("%+v", pod.Spec)
	}
}

func TestUpdatesWithoutNewImagesKeepTheirPolicy(t *testing.T) {
	old := podOf(t, `{containers: [{name: b, image: b, imagePullPolicy: Never}]}`)
	now := old.DeepCopy()
	now.Labels = map[string]string{"a": "b"}
	update := func() error {
		return admittest.Run(t, plugins.AlwaysPullImages(), admittest.Request{Operation: admission.Update, Object: now, Old: old, Resource: "pods"})
	}
	if err := update(); err != nil || now.Spec.Containers[0].ImagePullPolicy != corev1.PullNever {
		t.Errorf("%v, %s", err, now.Spec.Containers[0].ImagePullPolicy)
	}
	now.Spec.Containers[0].Image = "c"
	if err := update(); err != nil || now.Spec.Containers[0].ImagePullPolicy != corev1.PullAlways {
		t.Errorf("with a new image: %v, %s", err, now.Spec.Containers[0].ImagePullPolicy)
	}
}

func TestPodsKeepOthersOffTheirNodeOnly(t *testing.T) {
	for key, want := range map[string]string{
		corev1.LabelHostname:     "",
		corev1.LabelTopologyZone: "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey topology.kubernetes.io/zone but only key kubernetes.io/hostname is allowed",
	} {
		pod := podOf(t, `{affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: `+key+`}]}}}`)
		admittest.Check(t, run(t, plugins.AntiAffinityTopology(), pod), want)
	}
}

func TestExtendedResourcesAreTolerated(t *testing.T) {
	pod := podOf(t, `{tolerations: [{key: a}], containers: [{name: b, resources: {requests: {cpu: 1, example.com/gpu: 1}}}], initContainers: [{name: i, resources: {requests: {example.com/gpu: 1}}}]}`)
	admittest.Check(t, run(t, plugins.ExtendedResourceToleration(), pod), "")
	want := []corev1.Toleration{{Key: "a"}, {Key: "example.com/gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
	if !slices.Equal(pod.Spec.Tolerations, want) {
		t.Errorf("%+v", pod.Spec.Tolerations)
	}
}

func namespaced(annotations map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Annotations: annotations}}
}

func TestNodeSelectorsComeFromTheNamespaceOrTheCluster(t *testing.T) {
	const config = `podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: "a=cluster", ns: "a=cluster,b=1,a=ns"}`
	for name, c := range map[string]struct{ annotation, selector, got, err string }{
		"namespace": {"a=ns", `{b: "1"}`, "a=ns,b=1", ""},
		"conflict":  {"a=ns", `{a: other}`, "", "pod node label selector conflicts with its namespace node label selector"},
		"forbidden": {"a=ns", `{c: "1"}`, "", "pod node label selector labels conflict with its namespace whitelist"},
	} {
		t.Run(name, func(t *testing.T) {
			f, client, fill := cluster(t, namespaced(map[string]string{"scheduler.alpha.kubernetes.io/node-selector": c.annotation}))
			p, err := plugins.NodeSelector(f, client, []byte(config))
			if err != nil {
				t.Fatal(err)
			}
			fill()
			pod := podOf(t, `{nodeSelector: `+c.selector+`}`)
			admittest.Check(t, run(t, p, pod), c.err)
			if c.err == "" && metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: pod.Spec.NodeSelector}) != c.got {
				t.Errorf("%v", pod.Spec.NodeSelector)
			}
		})
	}
	f, client, fill := cluster(t, namespaced(nil))
	p, err := plugins.NodeSelector(f, client, []byte(`podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: "a=cluster"}`))
	if err != nil {
		t.Fatal(err)
	}
	fill()
	pod := podOf(t, `{}`)
	if err := run(t, p, pod); err != nil || pod.Spec.NodeSelector["a"] != "cluster" {
		t.Errorf("%v, %v", err, pod.Spec.NodeSelector)
	}
	if _, err := plugins.NodeSelector(f, client, []byte(`podNodeSelector: {}`)); err == nil {
		t.Error("a configuration with an unknown field is taken")
	}
}

func TestTolerationsComeFromTheNamespaceAndAreRestricted(t *testing.T) {
	const config = `{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, default: [{key: c, operator: Exists}], whitelist: [{key: c, operator: Exists}, {key: d, operator: Exists}]}`
	for name, c := range map[string]struct {
		annotations map[string]string
		spec, err   string
		keys        []string
	}{
		"cluster":   {nil, `{}`, "", []string{"c"}},
		"namespace": {map[string]string{"scheduler.alpha.kubernetes.io/defaultTolerations": `[{"key": "d", "operator": "Exists"}]`}, `{}`, "", []string{"d"}},
		"none":      {map[string]string{"scheduler.alpha.kubernetes.io/defaultTolerations": ""}, `{}`, "", nil},
		"merged":    {nil, `{tolerations: [{key: c, operator: Equal, value: x}]}`, "", []string{"c"}},
		"refused":   {nil, `{tolerations: [{key: e, operator: Exists}]}`, "pod tolerations (possibly merged with namespace default tolerations) conflict with its cluster whitelist", nil},
		"refused by the namespace": {map[string]string{"scheduler.alpha.kubernetes.io/tolerationsWhitelist": `[{"key": "d"}]`}, `{}`,
			"pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist", nil},
		"memory": {map[string]string{"scheduler.alpha.kubernetes.io/tolerationsWhitelist": `[{"operator": "Exists"}]`},
			`{containers: [{name: a, resources: {requests: {memory: 1}}}]}`, "", []string{"c", corev1.TaintNodeMemoryPressure}},
	} {
		t.Run(name, func(t *testing.T) {
			f, client, fill := cluster(t, namespaced(c.annotations))
			p, err := plugins.TolerationRestriction(f, client, []byte(config))
			if err != nil {
				t.Fatal(err)
			}
			fill()
			pod := podOf(t, c.spec)
			admittest.Check(t, run(t, p, pod), c.err)
			var keys []string
			for _, x := range pod.Spec.Tolerations {
				keys = append(keys, x.Key)
			}
			if c.err == "" && !slices.Equal(keys, c.keys) {
				t.Errorf("%v", keys)
			}
		})
	}
}

func TestPodsAreLabelledWithTheirNodesZone(t *testing.T) {
	f, _, fill := cluster(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node", Labels: map[string]string{
		corev1.LabelTopologyZone: "z", corev1.LabelHostname: "h"}}})
	p := plugins.TopologyLabels(f)
	fill()
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"}}
	err := admittest.Run(t, p, admittest.Request{Object: binding, Resource: "pods", Subresource: "binding"})
	if err != nil || len(binding.Labels) != 1 || binding.Labels[corev1.LabelTopologyZone] != "z" {
		t.Errorf("%v, %v", err, binding.Labels)
	}
	pod := podOf(t, `{nodeName: node}`)
	if err := run(t, p, pod); err != nil || pod.Labels[corev1.LabelTopologyZone] != "z" {
		t.Errorf("%v, %v", err, pod.Labels)
	}
}

func TestPodsAreNotResizedBeyondTheirNode(t *testing.T) {
	f, _, fill := cluster(t, admittest.YAML[corev1.Node](t, `{metadata: {name: n}, status: {allocatable: {cpu: 2, memory: 1Gi}}}`))
	p := plugins.ResizeWithinNode(f)
	fill()
	for cpu, want := range map[string]string{
		"2": "",
		"3": "node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000",
	} {
		now := podOf(t, `{nodeName: n, containers: [{name: a, resources: {requests: {cpu: `+cpu+`}}}]}`)
		now.Generation = 2
		err := admittest.Run(t, p, admittest.Request{Operation: admission.Update, Object: now, Old: podOf(t, `{nodeName: n}`), Resource: "pods", Subresource: "resize"})
		admittest.Check(t, err, want)
	}
}
