package dns

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
)

// The Service that pods' resolv.conf points to. It has no selector: each node's DNS is one of its endpoints.
const (
	serviceNamespace = metav1.NamespaceSystem
	serviceName      = "kube-dns"
	managedBy        = "dns.dhow.io"
)

// farewell bounds how long the end waits for the endpoint to be withdrawn.
const farewell = time.Second

// publish makes this server an endpoint of the DNS Service until ctx ends. It tries until it can.
func (s *Server) publish(ctx context.Context) {
	if s.config.NodeName == "" {
		return
	}
	backoff := wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Cap: 10 * time.Second, Steps: 20}
	err := backoff.DelayFunc().Until(ctx, true, false, func(ctx context.Context) (bool, error) {
		err := s.publishAll(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("cluster dns could not be published", "err", err)
		}
		return err == nil, nil
	})
	if err != nil {
		return // ctx ended first
	}
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for _, slice := range s.slices() {
		if err := s.config.Client.DiscoveryV1().EndpointSlices(serviceNamespace).Delete(last, slice.Name, metav1.DeleteOptions{}); err != nil {
			s.log.Debug("endpoint of cluster dns was not withdrawn", "err", err)
		}
	}
}

func (s *Server) publishAll(ctx context.Context) error {
	maps, services := s.config.Client.CoreV1().ConfigMaps(s.namespace), s.config.Client.CoreV1().Services(serviceNamespace)
	if _, err := maps.Get(ctx, s.name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		corefile := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name},
			Data:       map[string]string{"Corefile": s.config.Corefile},
		}
		if _, err := maps.Create(ctx, corefile, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create ConfigMap %s/%s: %w", s.namespace, s.name, err)
		}
	}
	if _, err := services.Get(ctx, serviceName, metav1.GetOptions{}); apierrors.IsNotFound(err) && len(s.config.ClusterIPs) > 0 {
		if _, err := services.Create(ctx, Service(s.config.ClusterIPs), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create Service %s/%s: %w", serviceNamespace, serviceName, err)
		}
	}
	for _, slice := range s.slices() {
		if err := s.publishSlice(ctx, slice); err != nil {
			return fmt.Errorf("publish EndpointSlice %s/%s: %w", serviceNamespace, slice.Name, err)
		}
	}
	return nil
}

func (s *Server) publishSlice(ctx context.Context, want *discoveryv1.EndpointSlice) error {
	slices := s.config.Client.DiscoveryV1().EndpointSlices(serviceNamespace)
	have, err := slices.Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = slices.Create(ctx, want, metav1.CreateOptions{})
		return err
	}
	if err != nil || (equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports)) {
		return err
	}
	changed := have.DeepCopy()
	changed.Labels, changed.Endpoints, changed.Ports = want.Labels, want.Endpoints, want.Ports
	_, err = slices.Update(ctx, changed, metav1.UpdateOptions{})
	return err
}

// Service is the cluster's DNS Service at addresses, the primary first.
func Service(addresses []netip.Addr) *corev1.Service {
	single := corev1.IPFamilyPolicyPreferDualStack
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: serviceNamespace, Name: serviceName,
			Labels: map[string]string{
				"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
			},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: addresses[0].String(), IPFamilyPolicy: &single,
			Ports: []corev1.ServicePort{
				{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(53)},
				{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: 53, TargetPort: intstr.FromInt32(53)},
			},
		},
	}
	for _, a := range addresses {
		s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, a.String())
	}
	return s
}

// slices are this node's endpoints, one slice for each IP family.
func (s *Server) slices() []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		var addresses []string
		for _, a := range s.listen {
			if a.Addr().Is4() == (family == discoveryv1.AddressTypeIPv4) {
				addresses = append(addresses, a.Addr().String())
			}
		}
		if len(addresses) > 0 {
			all = append(all, s.slice(family, addresses))
		}
	}
	return all
}

func (s *Server) slice(family discoveryv1.AddressType, addresses []string) *discoveryv1.EndpointSlice {
	ready, port := true, int32(s.listen[0].Port())
	udp, tcp, names := corev1.ProtocolUDP, corev1.ProtocolTCP, [2]string{"dns", "dns-tcp"}
	name := serviceName + "-" + s.config.NodeName
	if family == discoveryv1.AddressTypeIPv6 {
		name += "-ipv6"
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: serviceNamespace, Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: serviceName, discoveryv1.LabelManagedBy: managedBy},
		},
		AddressType: family,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: addresses, NodeName: &s.config.NodeName, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports: []discoveryv1.EndpointPort{
			{Name: &names[0], Protocol: &udp, Port: &port}, {Name: &names[1], Protocol: &tcp, Port: &port},
		},
	}
	if node, err := s.nodes.Get(s.config.NodeName); err == nil {
		slice.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	}
	return slice
}

// refuse says why the cluster's Corefile is not used, in the log and where its author looks.
func (s *Server) refuse(ctx context.Context, err error, instead string) {
	s.log.Error("corefile is invalid", "configmap", s.namespace+"/"+s.name, "err", err, "instead", instead)
	now := metav1.Now()
	_, failed := s.config.Client.CoreV1().Events(s.namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: s.namespace, Name: fmt.Sprintf("%s.%x", s.name, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: s.namespace, Name: s.name},
		Type:           corev1.EventTypeWarning, Reason: "InvalidCorefile", Message: fmt.Sprintf("%v: %s", err, instead),
		Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "cluster-dns"}, ReportingController: "cluster-dns", ReportingInstance: s.config.NodeName,
	}, metav1.CreateOptions{})
	if failed != nil && ctx.Err() == nil {
		s.log.Warn("event was not written", "err", failed)
	}
}
