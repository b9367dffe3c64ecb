package apiserver

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// bootstrap makes what every cluster has: its first namespaces, and the Service by which pods reach this server.
// It tries again until ctx ends, since storage may still be filling.
func (s *Server) bootstrap(ctx context.Context, client kubernetes.Interface) error {
	steps := []struct {
		run     func(context.Context, kubernetes.Interface) error
		reached *Milestone
	}{
		{s.namespaces, s.milestones.namespaces}, {s.trust, s.milestones.trust}, {s.ownService, nil},
		{s.ownEndpoints, s.milestones.service}, {s.hooksDone, nil},
	}
	var last error
	err := wait.PollUntilContextCancel(ctx, 5*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		for _, step := range steps {
			if last = step.run(ctx, client); last != nil {
				s.config.Log.Debug("first objects not made yet", "err", last)
				return false, nil
			}
			if step.reached != nil {
				step.reached.Reach()
			}
		}
		return true, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}

// hooksDone: the library's own start-up has ended too, and the watch caches are filled.
func (s *Server) hooksDone(ctx context.Context, client kubernetes.Interface) error {
	return client.Discovery().RESTClient().Get().RequestURI(s.readyz()).Do(ctx).Error()
}

func (s *Server) namespaces(ctx context.Context, client kubernetes.Interface) error {
	if !s.serves("namespaces") {
		return nil
	}
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		if _, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err == nil {
			continue
		}
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("namespace %s: %w", name, err)
		}
	}
	return nil
}

// serves says whether the core group has the resource: tests run servers with few kinds.
func (s *Server) serves(resource string) bool { return s.servesIn("", resource) }

func (s *Server) servesIn(group, resource string) bool {
	for _, k := range s.config.Kinds {
		if k.GroupVersion.Group == group && k.Resource == resource {
			return true
		}
	}
	return false
}

const ownServiceName = "kubernetes"

var ownLabels = map[string]string{"component": "apiserver", "provider": "kubernetes"}

func (s *Server) ownService(ctx context.Context, client kubernetes.Interface) error {
	if !s.config.ServiceIP.IsValid() || !s.serves("services") {
		return nil
	}
	services := client.CoreV1().Services(metav1.NamespaceDefault)
	if _, err := services.Get(ctx, ownServiceName, metav1.GetOptions{}); err == nil {
		return nil
	}
	_, err := services.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: ownServiceName, Labels: ownLabels},
		Spec: corev1.ServiceSpec{
			ClusterIP: s.config.ServiceIP.String(), ClusterIPs: []string{s.config.ServiceIP.String()},
			Ports: []corev1.ServicePort{{Name: "https", Port: 443, TargetPort: intstr.FromInt32(s.port())}},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (s *Server) port() int32 { return int32(s.config.Advertise.Port()) }

// ownEndpoints keeps the Service's endpoint right: the server's address may differ from one start to the next.
func (s *Server) ownEndpoints(ctx context.Context, client kubernetes.Interface) error {
	if !s.config.ServiceIP.IsValid() || !s.serves("services") {
		return nil
	}
	address := s.config.Advertise.Addr()
	if err := s.ensureEndpoints(ctx, client, address); err != nil {
		return fmt.Errorf("endpoints of the API server: %w", err)
	}
	if err := s.ensureSlice(ctx, client, address); err != nil {
		return fmt.Errorf("endpoint slice of the API server: %w", err)
	}
	return nil
}

func (s *Server) ensureEndpoints(ctx context.Context, client kubernetes.Interface, address netip.Addr) error {
	labels := map[string]string{discoveryv1.LabelSkipMirror: "true"}
	want := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: ownServiceName, Labels: labels},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: address.String()}},
			Ports:     []corev1.EndpointPort{{Name: "https", Port: s.port(), Protocol: corev1.ProtocolTCP}},
		}},
	}
	endpoints := client.CoreV1().Endpoints(metav1.NamespaceDefault)
	have, err := endpoints.Get(ctx, ownServiceName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = endpoints.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || apiequality.Semantic.DeepEqual(have.Subsets, want.Subsets) {
		return err
	}
	have.Subsets = want.Subsets
	_, err = endpoints.Update(ctx, have, metav1.UpdateOptions{})
	return err
}

func (s *Server) ensureSlice(ctx context.Context, client kubernetes.Interface, address netip.Addr) error {
	family, ready := discoveryv1.AddressTypeIPv4, true
	if address.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	name, port, protocol := "https", s.port(), corev1.ProtocolTCP
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: ownServiceName, Labels: map[string]string{discoveryv1.LabelServiceName: ownServiceName}},
		AddressType: family,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	slices := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
	have, err := slices.Get(ctx, ownServiceName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = slices.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || have.AddressType == want.AddressType && apiequality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && apiequality.Semantic.DeepEqual(have.Ports, want.Ports) {
		return err
	}
	if have.AddressType != want.AddressType { // immutable
		if err := slices.Delete(ctx, ownServiceName, metav1.DeleteOptions{}); err != nil {
			return err
		}
		_, err = slices.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	have.Endpoints, have.Ports = want.Endpoints, want.Ports
	_, err = slices.Update(ctx, have, metav1.UpdateOptions{})
	return err
}
