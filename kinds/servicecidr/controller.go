package servicecidr

import (
	"context"
	"net/netip"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// finalizer keeps a ServiceCIDR while Services have addresses of it.
const finalizer = "networking.k8s.io/service-cidr-finalizer"

// settle is how long a deleted range is kept, so that nobody is giving out its addresses any more.
const settle = 10 * time.Second

// Controller makes ServiceCIDRs ready, and lets those go that are deleted and that no Service needs.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "service-cidrs-controller",
		Reads: []controller.Read{
			{Object: &networkingv1.ServiceCIDR{}, Keys: overlapping},
			{Object: &networkingv1.IPAddress{}, Keys: rangesOfAddress},
		},
		Writes: []controller.Write{{
			Group:     networkingv1.GroupName,
			Resources: []string{"servicecidrs", "servicecidrs/finalizers", "servicecidrs/status"},
			Verbs:     []string{"patch", "update"},
		}},
		New: func(env controller.Env) controller.Reconciler { return &keeper{env} },
	}
}

func list(env controller.Env) []*networkingv1.ServiceCIDR {
	all, err := env.Informers.Networking().V1().ServiceCIDRs().Lister().List(labels.Everything())
	if err != nil {
		return nil // listers do not fail
	}
	return all
}

// overlapping are the range itself, and those that its coming or going may set free.
func overlapping(env controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	c := obj.(*networkingv1.ServiceCIDR)
	keys := []types.NamespacedName{{Name: c.Name}}
	for _, other := range list(env) {
		if other.Name != c.Name && slices.ContainsFunc(prefixes(c), func(p netip.Prefix) bool {
			return slices.ContainsFunc(prefixes(other), p.Overlaps)
		}) {
			keys = append(keys, types.NamespacedName{Name: other.Name})
		}
	}
	return keys
}

func rangesOfAddress(env controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	a := obj.(*networkingv1.IPAddress)
	ip, err := netip.ParseAddr(a.Name)
	if err != nil || !ours(a) {
		return nil
	}
	var keys []types.NamespacedName
	for _, c := range list(env) {
		if holdsAddress(c, ip) && c.DeletionTimestamp != nil {
			keys = append(keys, types.NamespacedName{Name: c.Name})
		}
	}
	return keys
}

type keeper struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (k *keeper) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	c, err := k.env.Informers.Networking().V1().ServiceCIDRs().Lister().Get(key.Name)
	if err != nil {
		return controller.Result{}, ignoreMissing(err)
	}
	if c.DeletionTimestamp == nil {
		if err := k.setFinalizers(ctx, c, append(slices.Clone(c.Finalizers), finalizer)); err != nil {
			return controller.Result{}, err
		}
		return controller.Result{}, k.setReady(ctx, c, metav1.Condition{Status: metav1.ConditionTrue, Message: "Kubernetes Service CIDR is ready"})
	}
	addresses, err := k.env.Informers.Networking().V1().IPAddresses().Lister().List(managed.AsSelector())
	if err != nil {
		return controller.Result{}, err
	}
	if needed(c, list(k.env), addresses) {
		return controller.Result{}, k.setReady(ctx, c, metav1.Condition{
			Status: metav1.ConditionFalse, Reason: networkingv1.ServiceCIDRReasonTerminating,
			Message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
		})
	}
	if wait := settle - k.env.Now().Sub(c.DeletionTimestamp.Time); wait > 0 {
		return controller.Result{After: wait}, nil
	}
	return controller.Result{}, k.setFinalizers(ctx, c, slices.DeleteFunc(slices.Clone(c.Finalizers), func(f string) bool { return f == finalizer }))
}

// needed says whether an address would be left without a range if c went: one that no other range holds. A range that
// others hold as a whole is not needed, whatever its addresses.
func needed(c *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, addresses []*networkingv1.IPAddress) bool {
	others := slices.DeleteFunc(slices.Clone(all), func(o *networkingv1.ServiceCIDR) bool { return o.Name == c.Name })
	covered := func(p netip.Prefix) bool {
		return slices.ContainsFunc(others, func(o *networkingv1.ServiceCIDR) bool {
			return slices.ContainsFunc(prefixes(o), func(outer netip.Prefix) bool { return contains(outer, p) })
		})
	}
	if !slices.ContainsFunc(prefixes(c), func(p netip.Prefix) bool { return !covered(p) }) {
		return false
	}
	return slices.ContainsFunc(addresses, func(a *networkingv1.IPAddress) bool {
		ip, err := netip.ParseAddr(a.Name)
		return err == nil && holdsAddress(c, ip) &&
			!slices.ContainsFunc(others, func(o *networkingv1.ServiceCIDR) bool { return holdsAddress(o, ip) })
	})
}

func (k *keeper) setFinalizers(ctx context.Context, c *networkingv1.ServiceCIDR, finalizers []string) error {
	had, want := slices.Contains(c.Finalizers, finalizer), slices.Contains(finalizers, finalizer)
	if had == want {
		return nil
	}
	next := c.DeepCopy()
	next.Finalizers = finalizers
	_, err := k.env.Client.NetworkingV1().ServiceCIDRs().Update(ctx, next, metav1.UpdateOptions{})
	return ignoreMissing(err)
}

// setReady writes the condition when it says something new.
func (k *keeper) setReady(ctx context.Context, c *networkingv1.ServiceCIDR, want metav1.Condition) error {
	want.Type = networkingv1.ServiceCIDRConditionReady
	have := meta.FindStatusCondition(c.Status.Conditions, want.Type)
	if have != nil && have.Status == want.Status && have.Reason == want.Reason && have.Message == want.Message {
		return nil
	}
	live, err := k.env.Client.NetworkingV1().ServiceCIDRs().Get(ctx, c.Name, metav1.GetOptions{}) // its finalizer may be new
	if err != nil {
		return ignoreMissing(err)
	}
	want.LastTransitionTime = metav1.NewTime(k.env.Now())
	meta.SetStatusCondition(&live.Status.Conditions, want)
	_, err = k.env.Client.NetworkingV1().ServiceCIDRs().UpdateStatus(ctx, live, metav1.UpdateOptions{})
	return ignoreMissing(err)
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
