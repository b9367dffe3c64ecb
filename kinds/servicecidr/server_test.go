package servicecidr_test

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/servicecidr"
)

var own = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}

// start runs the controllers on a cluster with the default range; time goes by 10 s faster in the controllers' eyes.
func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	var c *apiservertest.Cluster
	services, err := service.Kind(service.Config{CIDRs: own, Plan: servicecidr.View{
		Informers: func() informers.SharedInformerFactory { return c.Informers },
	}})
	if err != nil {
		t.Fatal(err)
	}
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{}), services}
	c = apiservertest.Start(t, append(kinds, servicecidr.Kinds()...), nil)
	if err := servicecidr.Reconcile(t.Context(), c.Client, own, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(10 * time.Second) }
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers, Now: later}, servicecidr.Controller(), servicecidr.Allocations())
	return c
}

func newService(name, ip string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{{Port: 80}}}}
}

func awaitReady(t *testing.T, c *apiservertest.Cluster, name string, want metav1.ConditionStatus) {
	t.Helper()
	apiservertest.Eventually(t, func() bool {
		r, err := c.Client.NetworkingV1().ServiceCIDRs().Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && len(r.Finalizers) == 1 && meta.IsStatusConditionPresentAndEqual(r.Status.Conditions, "Ready", want)
	})
}

// awaitRanges waits until Services see so many ranges.
func awaitRanges(t *testing.T, c *apiservertest.Cluster, count int) {
	t.Helper()
	seen := servicecidr.View{Informers: func() informers.SharedInformerFactory { return c.Informers }}
	apiservertest.Eventually(t, func() bool { return len(seen.Ranges()) == count })
}

func TestEveryClusterIPHasAnIPAddress(t *testing.T) {
	c := start(t)
	awaitReady(t, c, "kubernetes", metav1.ConditionTrue)
	addresses := c.Client.NetworkingV1().IPAddresses()
	s, err := c.Client.CoreV1().Services("default").Create(t.Context(), newService("web", ""), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await := func(other *networkingv1.IPAddress) (a *networkingv1.IPAddress) {
		t.Helper()
		apiservertest.Eventually(t, func() bool {
			a, err = addresses.Get(t.Context(), s.Spec.ClusterIP, metav1.GetOptions{})
			return err == nil && (other == nil || a.UID != other.UID)
		})
		return a
	}
	a := await(nil)
	if *a.Spec.ParentRef != (networkingv1.ParentReference{Resource: "services", Namespace: "default", Name: "web"}) ||
		a.Labels["ipaddress.kubernetes.io/ip-family"] != "IPv4" || a.Labels["ipaddress.kubernetes.io/managed-by"] != "ipallocator.k8s.io" {
		t.Errorf("got %+v %v", a.Spec.ParentRef, a.Labels)
	}
	if err := addresses.Delete(t.Context(), a.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(a)
	if err := c.Client.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		_, err := addresses.Get(t.Context(), a.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestServicesLiveInFurtherRangesAndKeepThem(t *testing.T) {
	c := start(t)
	services, ranges := c.Client.CoreV1().Services("default"), c.Client.NetworkingV1().ServiceCIDRs()
	if _, err := services.Create(t.Context(), newService("web", "203.0.113.10"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Fatalf("before the range is there: %v", err)
	}
	more := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"203.0.113.0/24"}}}
	if _, err := ranges.Create(t.Context(), more, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, c, "more", metav1.ConditionTrue)
	awaitRanges(t, c, 2)
	if _, err := services.Create(t.Context(), newService("web", "203.0.113.10"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		_, err := c.Client.NetworkingV1().IPAddresses().Get(t.Context(), "203.0.113.10", metav1.GetOptions{})
		return err == nil
	})
	if err := ranges.Delete(t.Context(), "more", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, c, "more", metav1.ConditionFalse)
	awaitRanges(t, c, 1)
	if _, err := services.Create(t.Context(), newService("late", "203.0.113.11"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("out of a range that goes: %v", err)
	}
	if err := services.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		_, err := ranges.Get(t.Context(), "more", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestAddressesOfOthersAreNotGivenToServices(t *testing.T) {
	c := start(t)
	reserved := &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: "10.43.0.77"}, Spec: networkingv1.IPAddressSpec{
		ParentRef: &networkingv1.ParentReference{Group: "example.com", Resource: "gateways", Name: "g"},
	}}
	if _, err := c.Client.NetworkingV1().IPAddresses().Create(t.Context(), reserved, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		_, err := c.Informers.Networking().V1().IPAddresses().Lister().Get(reserved.Name)
		return err == nil
	})
	_, err := c.Client.CoreV1().Services("default").Create(t.Context(), newService("web", "10.43.0.77"), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("got %v", err)
	}
}
