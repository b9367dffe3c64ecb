package service_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
)

// start serves Services with 14 addresses and 20 node ports, and what the server itself looks at.
func start(t *testing.T) typed.ServiceInterface {
	t.Helper()
	kind, err := service.Kind(service.Config{
		CIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/28")}, FirstNodePort: 30000, LastNodePort: 30019})
	if err != nil {
		t.Fatal(err)
	}
	cluster := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), kind}, nil)
	return cluster.Client.CoreV1().Services("default")
}

func newService(name string, kind corev1.ServiceType) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}}}
}

func TestConcurrentCreatesThenDeletes(t *testing.T) {
	services := start(t)
	for round := range 3 { // what is deleted can be had again
		var wg sync.WaitGroup
		made := make([]*corev1.Service, 14)
		for i := range made {
			wg.Go(func() {
				var err error
				made[i], err = services.Create(t.Context(), newService(fmt.Sprintf("s%d", i), corev1.ServiceTypeNodePort), metav1.CreateOptions{})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
		seen := map[any]bool{}
		for _, s := range made {
			if seen[s.Spec.ClusterIP] || seen[s.Spec.Ports[0].NodePort] {
				t.Errorf("%s shares %s or %d", s.Name, s.Spec.ClusterIP, s.Spec.Ports[0].NodePort)
			}
			seen[s.Spec.ClusterIP], seen[s.Spec.Ports[0].NodePort] = true, true
		}
		if _, err := services.Create(t.Context(), newService("late", corev1.ServiceTypeClusterIP), metav1.CreateOptions{}); !apierrors.IsInternalError(err) {
			t.Errorf("fifteenth: %v", err)
		}
		for _, s := range made {
			if err := services.Delete(t.Context(), s.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDryRunsLeakNothing(t *testing.T) {
	services := start(t)
	for i := range 30 {
		s, err := services.Create(t.Context(), newService("s", corev1.ServiceTypeNodePort), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil || s.Spec.ClusterIP == "" || s.Spec.Ports[0].NodePort == 0 {
			t.Fatalf("dry run %d: %v %+v", i, err, s.Spec)
		}
	}
	if _, err := services.Create(t.Context(), newService("s", corev1.ServiceTypeNodePort), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

func TestRefusedServicesLeakNothing(t *testing.T) {
	services := start(t)
	for range 30 {
		wrong := newService("s", corev1.ServiceTypeNodePort)
		wrong.Spec.SessionAffinity = "Odd"
		if _, err := services.Create(t.Context(), wrong, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := services.Create(t.Context(), newService("s", corev1.ServiceTypeNodePort), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

func TestChangesOfType(t *testing.T) {
	services := start(t)
	first, err := services.Create(t.Context(), newService("s", corev1.ServiceTypeNodePort), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patch := func(text string) *corev1.Service {
		t.Helper()
		s, err := services.Patch(t.Context(), "s", types.MergePatchType, []byte(text), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := patch(`{"spec":{"type":"ClusterIP"}}`); s.Spec.Ports[0].NodePort != 0 || s.Spec.ClusterIP != first.Spec.ClusterIP {
		t.Errorf("ClusterIP: %+v", s.Spec)
	}
	other := newService("other", corev1.ServiceTypeNodePort)
	other.Spec.Ports[0].NodePort = first.Spec.Ports[0].NodePort
	if other, err = services.Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatalf("the port given back: %v", err)
	}
	if s := patch(`{"spec":{"type":"LoadBalancer","externalTrafficPolicy":"Local"}}`); s.Spec.HealthCheckNodePort == 0 || s.Spec.Ports[0].NodePort == 0 {
		t.Errorf("LoadBalancer: %+v", s.Spec)
	}
	if s := patch(`{"spec":{"type":"ExternalName","externalName":"example.com"}}`); s.Spec.ClusterIP != "" || s.Spec.InternalTrafficPolicy != nil {
		t.Errorf("ExternalName: %+v", s.Spec)
	}
	elsewhere := "10.43.0.14"
	if other.Spec.ClusterIP == elsewhere {
		elsewhere = "10.43.0.13"
	}
	_, err = services.Patch(t.Context(), "other", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"clusterIP":%q}}`, elsewhere), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("change of address: %v", err)
	}
}
