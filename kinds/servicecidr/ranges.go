package servicecidr

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// defaultName is the ServiceCIDR of the server's own flags.
const defaultName = "kubernetes"

// Reconcile makes the default ServiceCIDR, and gives it a second IP family when the cluster has got one. One that has
// other ranges is left as it is: Services live in them.
func Reconcile(ctx context.Context, client kubernetes.Interface, cidrs []netip.Prefix, log *slog.Logger) error {
	var want []string
	for _, c := range cidrs {
		want = append(want, c.Masked().String())
	}
	all := client.NetworkingV1().ServiceCIDRs()
	have, err := all.Get(ctx, defaultName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		made := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: defaultName}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: want}}
		if _, err = all.Create(ctx, made, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
			return nil
		}
	case err != nil || slices.Equal(have.Spec.CIDRs, want):
	case len(want) == 2 && len(have.Spec.CIDRs) == 1 && have.Spec.CIDRs[0] == want[0]:
		have.Spec.CIDRs = want
		_, err = all.Update(ctx, have, metav1.UpdateOptions{})
	default:
		log.Warn("the default ServiceCIDR has other ranges than the server's flags", "cidrs", have.Spec.CIDRs, "flags", want)
	}
	if err != nil {
		return fmt.Errorf("default ServiceCIDR: %w", err)
	}
	return nil
}

// prefixes are the ranges of one ServiceCIDR.
func prefixes(c *networkingv1.ServiceCIDR) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range c.Spec.CIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			all = append(all, p.Masked())
		}
	}
	return all
}

func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func holdsAddress(c *networkingv1.ServiceCIDR, ip netip.Addr) bool {
	return slices.ContainsFunc(prefixes(c), func(p netip.Prefix) bool { return p.Contains(ip) })
}

// View is what the allocator of Services sees: ranges and addresses as informers have them.
type View struct {
	// Informers is called once they exist.
	Informers func() informers.SharedInformerFactory
}

// Ranges are those of the ServiceCIDRs that are ready and stay, by name; none before the first is known.
func (v View) Ranges() []netip.Prefix {
	all, err := v.Informers().Networking().V1().ServiceCIDRs().Lister().List(labels.Everything())
	if err != nil {
		return nil // listers do not fail
	}
	slices.SortFunc(all, func(a, b *networkingv1.ServiceCIDR) int { return compareNames(a.Name, b.Name) })
	var found []netip.Prefix
	for _, c := range all {
		// One without a condition is ready too: the controller has not come to it yet.
		if c.DeletionTimestamp == nil && !meta.IsStatusConditionFalse(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
			found = append(found, prefixes(c)...)
		}
	}
	return found
}

// compareNames puts the default range first.
func compareNames(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == defaultName || b != defaultName && a < b:
		return -1
	}
	return 1
}

// Reserved says whether an IPAddress keeps the address for something that is no Service.
func (v View) Reserved(ip netip.Addr) bool {
	a, err := v.Informers().Networking().V1().IPAddresses().Lister().Get(ip.String())
	return err == nil && (a.Spec.ParentRef == nil || !isService(a.Spec.ParentRef))
}

func isService(ref *networkingv1.ParentReference) bool {
	return ref.Group == "" && ref.Resource == "services"
}
