package endpointslice

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func web(edit ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "n", UID: "s", Labels: map[string]string{"tier": "front"}},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.43.0.1", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")}},
		},
	}
	for _, f := range edit {
		f(s)
	}
	return s
}

// backendPod is a ready one whose port http is 8080.
func backendPod(i int, edit ...func(*corev1.Pod)) *corev1.Pod {
	ip := fmt.Sprintf("10.42.%d.%d", i/200, i%200+1)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: "n", UID: types.UID(fmt.Sprint(i))},
		Spec: corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, f := range edit {
		f(p)
	}
	return p
}

func pods(n int) []*corev1.Pod {
	var all []*corev1.Pod
	for i := range n {
		all = append(all, backendPod(i))
	}
	return all
}

func zoneA(string) string { return "a" }

// settled are the slices of pods as the server would have them.
func settled(t *testing.T, s *corev1.Service, pods []*corev1.Pod) []*discoveryv1.EndpointSlice {
	t.Helper()
	c := plan(s, pods, zoneA, nil)
	for i, slice := range c.create {
		slice.Name = fmt.Sprintf("web-%d", i)
	}
	return c.create
}

func unready(p *corev1.Pod) { p.Status.Conditions = nil }
func ending(p *corev1.Pod)  { p.DeletionTimestamp = &metav1.Time{} }
func failed(p *corev1.Pod)  { p.Status.Phase = corev1.PodFailed }
func publishAll(s *corev1.Service) {
	s.Spec.PublishNotReadyAddresses = true
}

func TestConditions(t *testing.T) {
	for _, test := range []struct {
		name                        string
		service                     *corev1.Service
		pod                         *corev1.Pod
		ready, serving, terminating bool
	}{
		{"ready", web(), backendPod(1), true, true, false},
		{"not ready", web(), backendPod(1, unready), false, false, false},
		{"ending but ready", web(), backendPod(1, ending), false, true, true},
		{"not ready but published", web(publishAll), backendPod(1, unready), true, false, false},
		{"ending but published", web(publishAll), backendPod(1, ending), true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := plan(test.service, []*corev1.Pod{test.pod}, zoneA, nil).create[0].Endpoints[0].Conditions
			if *got.Ready != test.ready || *got.Serving != test.serving || *got.Terminating != test.terminating {
				t.Errorf("ready %v, serving %v, terminating %v", *got.Ready, *got.Serving, *got.Terminating)
			}
		})
	}
}

func TestAnEndpointSaysWhereItIs(t *testing.T) {
	named := func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "first", "web" }
	slice := plan(web(), []*corev1.Pod{backendPod(1, named)}, zoneA, nil).create[0]
	e := slice.Endpoints[0]
	if e.Addresses[0] != "10.42.0.2" || *e.Hostname != "first" || *e.NodeName != "node" || *e.Zone != "a" || e.TargetRef.UID != "1" {
		t.Errorf("endpoint %+v", e)
	}
	labels := map[string]string{"tier": "front", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
	if fmt.Sprint(slice.Labels) != fmt.Sprint(labels) || slice.OwnerReferences[0].UID != "s" || *slice.Ports[0].Port != 8080 {
		t.Errorf("slice %+v", slice)
	}
}

func TestEndedPodsAreNotListed(t *testing.T) {
	c := plan(web(), []*corev1.Pod{backendPod(1, failed), backendPod(2, func(p *corev1.Pod) { p.Status.PodIPs = nil })}, zoneA, nil)
	if len(c.create) != 1 || len(c.create[0].Endpoints) != 0 {
		t.Errorf("got %+v", c.create)
	}
}

func TestPodsWithOtherPortsHaveSlicesOfTheirOwn(t *testing.T) {
	other := func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = 9090 }
	c := plan(web(), []*corev1.Pod{backendPod(1), backendPod(2, other), backendPod(3)}, zoneA, nil)
	var got []string
	for _, slice := range c.create {
		got = append(got, fmt.Sprint(*slice.Ports[0].Port, ":", len(slice.Endpoints)))
	}
	if want := []string{"8080:2", "9090:1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEachFamilyHasItsSlice(t *testing.T) {
	dual := func(s *corev1.Service) {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	}
	both := func(p *corev1.Pod) { p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::1"}) }
	c := plan(web(dual), []*corev1.Pod{backendPod(1, both), backendPod(2)}, zoneA, nil)
	got := map[discoveryv1.AddressType]int{}
	for _, slice := range c.create {
		got[slice.AddressType] += len(slice.Endpoints)
	}
	if got[discoveryv1.AddressTypeIPv4] != 2 || got[discoveryv1.AddressTypeIPv6] != 1 {
		t.Errorf("got %v", got)
	}
}

func TestManyPodsFillSlicesOfAHundred(t *testing.T) {
	var sizes []int
	for _, slice := range settled(t, web(), pods(250)) {
		sizes = append(sizes, len(slice.Endpoints))
	}
	if !slices.Equal(sizes, []int{100, 100, 50}) {
		t.Errorf("sizes %v", sizes)
	}
}

func TestOnlyWhatChangesIsWritten(t *testing.T) {
	all := pods(250)
	for _, test := range []struct {
		name                   string
		pods                   []*corev1.Pod
		service                *corev1.Service
		create, update, remove int
	}{
		{"nothing", all, web(), 0, 0, 0},
		{"one turns unready", append(slices.Clone(all[:249]), backendPod(249, unready)), web(), 0, 1, 0},
		{"one goes", all[1:], web(), 0, 1, 0},
		{"one goes and one comes", append(slices.Clone(all[1:]), backendPod(300)), web(), 0, 1, 0},
		{"60 come", pods(310), web(), 1, 1, 0},
		{"200 go", all[:50], web(), 0, 1, 2},
		{"all go", nil, web(), 0, 1, 2},
		{"the labels change", all, web(func(s *corev1.Service) { s.Labels = nil }), 0, 3, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := plan(test.service, test.pods, zoneA, settled(t, web(), all))
			if len(c.create) != test.create || len(c.update) != test.update || len(c.remove) != test.remove {
				t.Errorf("%d created, %d updated, %d removed", len(c.create), len(c.update), len(c.remove))
			}
		})
	}
}

func TestMirrors(t *testing.T) {
	e := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "n", UID: "e", Labels: map[string]string{"a": "b"},
			Annotations: map[string]string{"c": "d", corev1.LastAppliedConfigAnnotation: "{}"}},
		Subsets: []corev1.EndpointSubset{{
			Addresses:         []corev1.EndpointAddress{{IP: "10.0.0.1"}, {IP: "fd00::1", Hostname: "six"}},
			NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.2"}, {IP: "nonsense"}},
			Ports:             []corev1.EndpointPort{{Name: "sql", Port: 5432, Protocol: corev1.ProtocolTCP}},
		}},
	}
	c, left := mirrorPlan(e, nil)
	if len(c.create) != 2 || left != (leftOut{invalid: 1}) {
		t.Fatalf("%d slices, left out %+v", len(c.create), left)
	}
	four := c.create[0]
	if len(four.Endpoints) != 2 || !*four.Endpoints[0].Conditions.Ready || *four.Endpoints[1].Conditions.Ready || *four.Ports[0].Port != 5432 {
		t.Errorf("IPv4: %+v", four)
	}
	if fmt.Sprint(four.Annotations) != "map[c:d]" || four.Labels["a"] != "b" || four.OwnerReferences[0].Kind != "Endpoints" {
		t.Errorf("metadata: %+v", four.ObjectMeta)
	}
	again, _ := mirrorPlan(e, c.create)
	if len(again.create)+len(again.update)+len(again.remove) > 0 {
		t.Errorf("the same is written again: %+v", again)
	}
	e.Subsets = nil
	if gone, _ := mirrorPlan(e, c.create); len(gone.remove) != 2 {
		t.Errorf("empty Endpoints: %+v", gone)
	}
}

func TestMirrorsHoldAThousandAddresses(t *testing.T) {
	e := &corev1.Endpoints{Subsets: []corev1.EndpointSubset{{}}}
	for i := range 1003 {
		e.Subsets[0].Addresses = append(e.Subsets[0].Addresses, corev1.EndpointAddress{IP: fmt.Sprintf("10.0.%d.%d", i/200, i%200)})
	}
	c, left := mirrorPlan(e, nil)
	if len(c.create) != 1 || len(c.create[0].Endpoints) != 1000 || left.tooMany != 3 {
		t.Errorf("%d slices, left out %+v", len(c.create), left)
	}
}
