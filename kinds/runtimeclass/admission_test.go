package runtimeclass

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

func TestPodsGetWhatTheirClassSays(t *testing.T) {
	f := informers.NewSharedInformerFactory(nil, 0)
	plugin := Admission(f, nil)
	for _, text := range []string{
		`{metadata: {name: bare}, handler: h}`,
		`{metadata: {name: full}, handler: h, overhead: {podFixed: {cpu: 10m}}, scheduling: {nodeSelector: {a: b},
			tolerations: [{key: k, operator: Exists}, {key: own, operator: Exists, effect: NoSchedule}]}}`,
	} {
		f.Node().V1().RuntimeClasses().Informer().GetIndexer().Add(admittest.YAML[nodev1.RuntimeClass](t, text))
	}
	for name, c := range map[string]struct {
		spec, want  string
		selector    map[string]string
		tolerations int
		overhead    string
	}{
		"no class":       {`{}`, "", nil, 0, "0"},
		"bare class":     {`{runtimeClassName: bare}`, "", nil, 0, "0"},
		"full class":     {`{runtimeClassName: full}`, "", map[string]string{"a": "b"}, 2, "10m"},
		"merged":         {`{runtimeClassName: full, nodeSelector: {c: d}, tolerations: [{key: own, operator: Exists}, {key: k, operator: Exists, effect: NoExecute}]}`, "", map[string]string{"a": "b", "c": "d"}, 2, "10m"},
		"conflict":       {`{runtimeClassName: full, nodeSelector: {a: c}}`, "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c", nil, 0, ""},
		"own overhead":   {`{runtimeClassName: full, overhead: {cpu: 20m}}`, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead", nil, 0, ""},
		"overhead alone": {`{overhead: {cpu: 20m}}`, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead", nil, 0, ""},
		"overhead, bare": {`{runtimeClassName: bare, overhead: {cpu: 20m}}`, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead", nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pod := admittest.YAML[corev1.Pod](t, `{metadata: {namespace: ns, name: p}, spec: `+c.spec+`}`)
			err := admittest.Run(t, plugin, admittest.Request{Object: pod, Resource: "pods"})
			admittest.Check(t, err, c.want)
			if err == nil && (!maps.Equal(pod.Spec.NodeSelector, c.selector) || len(pod.Spec.Tolerations) != c.tolerations || pod.Spec.Overhead.Cpu().String() != c.overhead) {
				t.Errorf("got %+v", pod.Spec)
			}
		})
	}
}
