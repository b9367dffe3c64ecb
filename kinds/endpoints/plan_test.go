package endpoints

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

func web(edit ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "n", Labels: map[string]string{"tier": "front"}},
		Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.1", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{
			{Name: "http", Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")},
			{Name: "stats", Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(9000)},
		}},
	}
	for _, f := range edit {
		f(s)
	}
	return s
}

func backendPod(i int, edit ...func(*corev1.Pod)) *corev1.Pod {
	ip := fmt.Sprintf("10.42.%d.%d", i/200, i%200+1)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: "n", UID: types.UID(fmt.Sprint(i))},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}},
		Status: corev1.PodStatus{PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, f := range edit {
		f(p)
	}
	return p
}

func unready(p *corev1.Pod)        { p.Status.Conditions = nil }
func ending(p *corev1.Pod)         { p.DeletionTimestamp = &metav1.Time{} }
func on9090(p *corev1.Pod)         { p.Spec.Containers[0].Ports[0].ContainerPort = 9090 }
func headless(s *corev1.Service)   { s.Spec.ClusterIP = corev1.ClusterIPNone }
func publishAll(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }

// brief is a subset as "ready|not ready|ports".
func brief(subsets []corev1.EndpointSubset) string {
	text := ""
	for _, s := range subsets {
		for _, a := range s.Addresses {
			text += a.IP + " "
		}
		text += "|"
		for _, a := range s.NotReadyAddresses {
			text += a.IP + " "
		}
		text += "|"
		for _, p := range s.Ports {
			text += fmt.Sprintf("%s=%d ", p.Name, p.Port)
		}
		text += "; "
	}
	return text
}

func TestPlan(t *testing.T) {
	noPorts := func(s *corev1.Service) { s.Spec.Ports = nil }
	for _, test := range []struct {
		name    string
		service *corev1.Service
		pods    []*corev1.Pod
		want    string
	}{
		{"ready and not", web(), []*corev1.Pod{backendPod(1), backendPod(2, unready)}, "10.42.0.2 |10.42.0.3 |http=8080 stats=9000 ; "},
		{"ending", web(), []*corev1.Pod{backendPod(1, ending)}, ""},
		{"all published", web(publishAll), []*corev1.Pod{backendPod(1, unready), backendPod(2, ending)}, "10.42.0.2 10.42.0.3 ||http=8080 stats=9000 ; "},
		{"ports by pod", web(), []*corev1.Pod{backendPod(1), backendPod(2, on9090)},
			"10.42.0.2 ||http=8080 ; 10.42.0.2 10.42.0.3 ||stats=9000 ; 10.42.0.3 ||http=9090 ; "},
		{"headless without ports", web(headless, noPorts), []*corev1.Pod{backendPod(1)}, "10.42.0.2 ||; "},
		{"without ports", web(noPorts), []*corev1.Pod{backendPod(1)}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := brief(plan(test.service, test.pods).Subsets); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestOverCapacityReadyPodsComeFirst(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 1001 {
		pods = append(pods, backendPod(i, unready))
	}
	pods = append(pods, backendPod(1001))
	e := plan(web(), pods)
	if len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != 1 || len(e.Subsets[0].NotReadyAddresses) != 999 {
		t.Errorf("%d ready, %d not", len(e.Subsets[0].Addresses), len(e.Subsets[0].NotReadyAddresses))
	}
	if e.Annotations[corev1.EndpointsOverCapacity] != "truncated" {
		t.Errorf("annotations %v", e.Annotations)
	}
}

func TestLabelsAreTheServicesOwn(t *testing.T) {
	got, err := yaml.Marshal(plan(web(headless), nil).Labels)
	if err != nil {
		t.Fatal(err)
	}
	if want := "endpoints.kubernetes.io/managed-by: endpoint-controller\nservice.kubernetes.io/headless: \"\"\ntier: front\n"; string(got) != want {
		t.Errorf("got\n%s", got)
	}
}
