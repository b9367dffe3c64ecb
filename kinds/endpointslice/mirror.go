package endpointslice

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"dhow/api/backends"
	"dhow/controller"
	"dhow/controller/owned"
)

// mirroredBy marks the slices that mirror Endpoints.
const mirroredBy = "endpointslicemirroring-controller.k8s.io"

// Mirroring writes slices of the Endpoints that users make for Services without selectors: who sends traffic reads only
// slices. Its keys are Endpoints, which have their Service's name.
func Mirroring() controller.Controller {
	return controller.Controller{
		Name: "endpointslicemirroring-controller",
		Reads: []controller.Read{
			{Object: &corev1.Endpoints{}},
			{Object: &corev1.Service{}},
			{Object: &discoveryv1.EndpointSlice{}, Keys: endpointsOfSlice},
		},
		Writes: []controller.Write{
			{Group: discoveryv1.GroupName, Resources: []string{"endpointslices"}, Verbs: []string{"create", "update", "delete"}},
			{Resources: []string{"endpoints/restricted", "endpoints/finalizers"}, Verbs: []string{"update"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			return &mirror{reconciler{env: env, flight: owned.NewFlight[*discoveryv1.EndpointSlice]()}}
		},
	}
}

func endpointsOfSlice(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	slice := obj.(*discoveryv1.EndpointSlice)
	if slice.Labels[discoveryv1.LabelManagedBy] != mirroredBy {
		return nil
	}
	return []types.NamespacedName{{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}}
}

type mirror struct{ reconciler }

// Reconcile implements controller.Reconciler.
func (m *mirror) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: key.Name, discoveryv1.LabelManagedBy: mirroredBy})
	have, err := m.env.Informers.Discovery().V1().EndpointSlices().Lister().EndpointSlices(key.Namespace).List(selector)
	if err != nil {
		return controller.Result{}, err
	}
	have, late := m.flight.See(key, have, m.env.Now())
	endpoints, err := m.mirrored(key)
	if err != nil {
		return controller.Result{}, err
	}
	if endpoints == nil {
		m.flight.Forget(key)
		return controller.Result{}, m.removeAll(ctx, have)
	}
	c, left := mirrorPlan(endpoints, have)
	m.report(endpoints, left)
	err = m.apply(ctx, key, c)
	result := controller.Result{}
	if late {
		result.After = owned.Lag
	}
	return result, err
}

// mirrored are the Endpoints of a key, nil if they are not to be mirrored: a Service with a selector has slices already.
func (m *mirror) mirrored(key types.NamespacedName) (*corev1.Endpoints, error) {
	core := m.env.Informers.Core().V1()
	endpoints, err := core.Endpoints().Lister().Endpoints(key.Namespace).Get(key.Name)
	if err != nil {
		return nil, absentIsNil(err)
	}
	_, elects := endpoints.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]
	if elects || endpoints.Labels[discoveryv1.LabelSkipMirror] == "true" {
		return nil, nil
	}
	service, err := core.Services().Lister().Services(key.Namespace).Get(key.Name)
	if err != nil || service.Spec.Selector != nil {
		return nil, absentIsNil(err)
	}
	return endpoints, nil
}

func absentIsNil(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// mostMirrored is how many addresses of a subset are mirrored: one slice holds them.
const mostMirrored = 1000

// leftOut counts addresses that are not mirrored.
type leftOut struct{ invalid, tooMany int }

func (m *mirror) report(e *corev1.Endpoints, left leftOut) {
	if left.invalid > 0 {
		m.env.Event(e, corev1.EventTypeWarning, "InvalidIPAddress",
			fmt.Sprintf("Skipped %d invalid IP addresses when mirroring to EndpointSlices", left.invalid))
	}
	if left.tooMany > 0 {
		m.env.Event(e, corev1.EventTypeWarning, "TooManyAddressesToMirror",
			fmt.Sprintf("A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped", mostMirrored, left.invalid+left.tooMany))
	}
}

// mirrorPlan has one slice for each IP family and set of ports.
func mirrorPlan(e *corev1.Endpoints, have []*discoveryv1.EndpointSlice) (changes, leftOut) {
	groups, left := mirrorGroups(e)
	byGroup := map[string][]*discoveryv1.EndpointSlice{}
	for _, slice := range have {
		key := groupKey(slice.AddressType, slice.Ports)
		byGroup[key] = append(byGroup[key], slice)
	}
	var c changes
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		want := mirrorSlice(e, groups[key])
		old := byGroup[key]
		delete(byGroup, key)
		if len(old) == 0 {
			c.create = append(c.create, want)
			continue
		}
		c.remove = append(c.remove, old[1:]...)
		if sameMirror(old[0], want) {
			continue
		}
		next := old[0].DeepCopy()
		next.Labels, next.Annotations, next.Endpoints, next.Ports = want.Labels, want.Annotations, want.Endpoints, want.Ports
		c.update = append(c.update, next)
	}
	for _, key := range slices.Sorted(maps.Keys(byGroup)) {
		c.remove = append(c.remove, byGroup[key]...)
	}
	c.recycle()
	return c, left
}

func sameMirror(a, b *discoveryv1.EndpointSlice) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
		equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) && equality.Semantic.DeepEqual(a.Ports, b.Ports)
}

func mirrorGroups(e *corev1.Endpoints) (map[string]*group, leftOut) {
	groups, left := map[string]*group{}, leftOut{}
	for _, subset := range backends.Repack(e.Subsets) {
		ports, count := mirrorPorts(subset.Ports), 0
		add := func(addresses []corev1.EndpointAddress, ready bool) {
			for _, a := range addresses {
				ip, err := netip.ParseAddr(a.IP)
				switch {
				case err != nil:
					left.invalid++
					continue
				case count == mostMirrored:
					left.tooMany++
					continue
				}
				count++
				family := discoveryv1.AddressTypeIPv4
				if ip = ip.Unmap(); ip.Is6() {
					family = discoveryv1.AddressTypeIPv6
				}
				key := groupKey(family, ports)
				if groups[key] == nil {
					groups[key] = &group{family: family, ports: ports}
				}
				groups[key].endpoints = append(groups[key].endpoints, mirrorEndpoint(a, ip, ready))
			}
		}
		add(subset.Addresses, true)
		add(subset.NotReadyAddresses, false)
	}
	return groups, left
}

func mirrorPorts(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	var all []discoveryv1.EndpointPort
	for _, p := range ports {
		all = append(all, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol, AppProtocol: p.AppProtocol})
	}
	return all
}

func mirrorEndpoint(a corev1.EndpointAddress, ip netip.Addr, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses: []string{ip.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef: a.TargetRef, NodeName: a.NodeName,
	}
	if a.Hostname != "" {
		e.Hostname = &a.Hostname
	}
	return e
}

// mirrorSlice has the Endpoints' own labels and annotations, but for those that speak of the Endpoints alone.
func mirrorSlice(e *corev1.Endpoints, g *group) *discoveryv1.EndpointSlice {
	own := maps.Clone(e.Labels)
	if own == nil {
		own = map[string]string{}
	}
	own[discoveryv1.LabelServiceName], own[discoveryv1.LabelManagedBy] = e.Name, mirroredBy
	notes := maps.Clone(e.Annotations)
	delete(notes, corev1.EndpointsLastChangeTriggerTime)
	delete(notes, corev1.LastAppliedConfigAnnotation)
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: e.Name + "-", Namespace: e.Namespace, Labels: own, Annotations: notes,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(e, corev1.SchemeGroupVersion.WithKind("Endpoints"))},
		},
		AddressType: g.family, Ports: g.ports, Endpoints: g.endpoints,
	}
}
