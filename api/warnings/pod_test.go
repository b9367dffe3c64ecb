package warnings

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"dhow/api/podspec"
)

func TestPodWarnsInUpstreamsWords(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want []string
	}{
		"nothing": {`containers: [{name: a, image: i}]`, nil},
		"hidden variable": {`containers: [{name: a, image: i, env: [{name: E, value: x}, {name: E, value: z}]}]`, []string{
			`spec.containers[0].env[1]: hides previous definition of "E", which may be dropped when using apply`}},
		"extended variable": {`containers: [{name: a, image: i, env: [{name: E, value: x}, {name: E, value: "$(E):z"}]}]`, nil},
		"same port": {`containers: [{name: a, image: i, ports: [{containerPort: 80}]}, {name: b, image: i, ports: [{containerPort: 80}]}]`, []string{
			`spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]`}},
		"old label": {`{nodeSelector: {beta.kubernetes.io/os: linux}, containers: [{name: a, image: i}]}`, []string{
			`spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`}},
		"files over files": {`{containers: [{name: a, image: i}], volumes: [{name: v, configMap: {name: c, items: [{key: k, path: d}, {key: l, path: d/f}]}}]}`, []string{
			`volume "v" (ConfigMap "c"): overlapping paths: "d/f" with "d"`}},
		"half a byte": {`containers: [{name: a, image: i, resources: {requests: {memory: 500m}}}]`, []string{
			`spec.containers[0].resources.requests[memory]: fractional byte value "500m" is invalid, must be an integer`}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
			if err := yaml.UnmarshalStrict([]byte(c.spec), &pod.Spec); err != nil {
				t.Fatal(err)
			}
			podspec.DefaultPod(pod)
			if got := Pod(pod); !slices.Equal(got, c.want) {
				t.Errorf("got %s", strings.Join(got, "\n"))
			}
		})
	}
}
