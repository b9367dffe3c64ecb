package servicecidr

import (
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// managed selects the IPAddresses of Services.
var managed = labels.Set{networkingv1.LabelManagedBy: "ipallocator.k8s.io"}

func ours(a *networkingv1.IPAddress) bool {
	return a.Labels[networkingv1.LabelManagedBy] == managed[networkingv1.LabelManagedBy]
}

// Allocations keeps an IPAddress for every cluster IP of every Service. Its keys are Services, and addresses as names
// without a namespace.
func Allocations() controller.Controller {
	return controller.Controller{
		Name: "ipallocator-repair-controller",
		Reads: []controller.Read{
			{Object: &corev1.Service{}, Keys: ofService},
			{Object: &networkingv1.IPAddress{}, Keys: ofAddress},
		},
		Writes: []controller.Write{{Group: networkingv1.GroupName, Resources: []string{"ipaddresses"}, Verbs: []string{"create", "delete"}}},
		New:    func(env controller.Env) controller.Reconciler { return &recorder{env} },
	}
}

// ofService are the Service and the addresses that it may have given up.
func ofService(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	s := obj.(*corev1.Service)
	keys := []types.NamespacedName{{Namespace: s.Namespace, Name: s.Name}}
	given := clusterIPs(s)
	if before, ok := old.(*corev1.Service); ok && before != nil {
		given = clusterIPs(before)
		if slices.Equal(given, clusterIPs(s)) {
			return nil
		}
	}
	for _, ip := range given {
		keys = append(keys, types.NamespacedName{Name: ip})
	}
	return keys
}

func ofAddress(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	a := obj.(*networkingv1.IPAddress)
	if !ours(a) {
		return nil
	}
	keys := []types.NamespacedName{{Name: a.Name}}
	if ref := a.Spec.ParentRef; ref != nil && isService(ref) && ref.Namespace != "" {
		keys = append(keys, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
	}
	return keys
}

// clusterIPs are a Service's addresses in their canonical form.
func clusterIPs(s *corev1.Service) []string {
	var all []string
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	for _, text := range s.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			all = append(all, ip.Unmap().String())
		}
	}
	return all
}

// wanted is the IPAddress of one cluster IP.
func wanted(s *corev1.Service, ip string) *networkingv1.IPAddress {
	family := corev1.IPv4Protocol
	if a, err := netip.ParseAddr(ip); err == nil && a.Is6() {
		family = corev1.IPv6Protocol
	}
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: ip, Labels: labels.Merge(managed, labels.Set{networkingv1.LabelIPAddressFamily: string(family)})},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: s.Namespace, Name: s.Name,
		}},
	}
}

type recorder struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (r *recorder) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	if key.Namespace == "" {
		return controller.Result{}, r.release(ctx, key.Name)
	}
	s, err := r.service(key.Namespace, key.Name)
	if s == nil {
		return controller.Result{}, err
	}
	for _, ip := range clusterIPs(s) {
		if err := r.record(ctx, s, wanted(s, ip)); err != nil {
			return controller.Result{}, err
		}
	}
	return controller.Result{}, nil
}

// service is nil when there is none.
func (r *recorder) service(namespace, name string) (*corev1.Service, error) {
	s, err := r.env.Informers.Core().V1().Services().Lister().Services(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return s, err
}

// record makes the IPAddress of a Service, in place of one that says something else; but one of another Service that
// has the address too stays.
func (r *recorder) record(ctx context.Context, s *corev1.Service, want *networkingv1.IPAddress) error {
	client := r.env.Client.NetworkingV1().IPAddresses()
	have, err := r.env.Informers.Networking().V1().IPAddresses().Lister().Get(want.Name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(ctx, want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil // the watch will show it
		}
		return err
	case err != nil:
		return err
	case equality.Semantic.DeepEqual(have.Spec, want.Spec) && labels.SelectorFromSet(want.Labels).Matches(labels.Set(have.Labels)):
		return nil
	}
	rightful, err := r.rightful(have)
	if err != nil {
		return err
	}
	if rightful && *have.Spec.ParentRef != *want.Spec.ParentRef {
		r.env.Event(s, corev1.EventTypeWarning, "ClusterIPAlreadyAllocated", "Cluster IP "+want.Name+" was assigned to multiple services; please recreate service")
		return nil
	}
	if err := r.remove(ctx, have); err != nil {
		return err
	}
	_, err = client.Create(ctx, want, metav1.CreateOptions{})
	return err
}

// release deletes the IPAddress of a Service that does not have the address, or is gone.
func (r *recorder) release(ctx context.Context, ip string) error {
	have, err := r.env.Informers.Networking().V1().IPAddresses().Lister().Get(ip)
	if err != nil || !ours(have) {
		return ignoreMissing(err)
	}
	if rightful, err := r.rightful(have); rightful || err != nil {
		return err
	}
	return r.remove(ctx, have)
}

// rightful says whether an IPAddress' parent is a Service that has the address.
func (r *recorder) rightful(a *networkingv1.IPAddress) (bool, error) {
	ref := a.Spec.ParentRef
	if ref == nil || !isService(ref) {
		return false, nil
	}
	s, err := r.service(ref.Namespace, ref.Name)
	return s != nil && slices.Contains(clusterIPs(s), a.Name), err
}

func (r *recorder) remove(ctx context.Context, a *networkingv1.IPAddress) error {
	return ignoreMissing(r.env.Client.NetworkingV1().IPAddresses().Delete(ctx, a.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &a.UID}}))
}
