package resourceclaim

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Rights beyond those on claims: administrators' access goes by a label of the namespace; who allocates needs
// resourceclaims/binding, and who tells of a device resourceclaims/driver for that driver.

// adminRequested refuses administrators' access in namespaces that are not labelled for it.
func (c Config) adminRequested(ctx context.Context, namespace string, requests []resourcev1.DeviceRequest) field.ErrorList {
	for i, r := range requests {
		if r.Exactly != nil && isTrue(r.Exactly.AdminAccess) {
			return c.labelled(ctx, namespace, field.NewPath("spec", "devices", "requests").Index(i).Child("adminAccess"))
		}
	}
	return nil
}

// adminGranted is adminRequested for what is newly allocated.
func (c Config) adminGranted(ctx context.Context, r, old *resourcev1.ResourceClaim) field.ErrorList {
	if grantedAt(old.Status.Allocation) != nil {
		return nil
	}
	at := grantedAt(r.Status.Allocation)
	if at == nil {
		return nil
	}
	return c.labelled(ctx, r.Namespace, at)
}

// grantedAt is where an allocation first gives administrators' access, nil if nowhere.
func grantedAt(a *resourcev1.AllocationResult) *field.Path {
	if a == nil {
		return nil
	}
	for i, r := range a.Devices.Results {
		if isTrue(r.AdminAccess) {
			return field.NewPath("status", "allocation", "devices", "results").Index(i).Child("adminAccess")
		}
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func (c Config) labelled(ctx context.Context, namespace string, at *field.Path) field.ErrorList {
	ns, err := c.Client().CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return field.ErrorList{field.InternalError(at, fmt.Errorf("could not retrieve namespace to verify admin access: %w", err))}
	}
	if ns.Labels[resourcev1.DRAAdminNamespaceLabelKey] != "true" {
		return field.ErrorList{field.Forbidden(at, fmt.Sprintf("admin access to devices requires the `%s: true` label on the containing namespace", resourcev1.DRAAdminNamespaceLabelKey))}
	}
	return nil
}

// statusRights refuses what the user of ctx may not change in a claim's status.
func (c Config) statusRights(ctx context.Context, r, old *resourcev1.ResourceClaim) field.ErrorList {
	errs := c.adminGranted(ctx, r, old)
	who, ok := request.UserFrom(ctx)
	info, known := request.RequestInfoFrom(ctx)
	if !ok || !known || slices.Contains(who.GetGroups(), user.SystemPrivilegedGroup) {
		return errs
	}
	asked := asking{c, who, info.Verb, r.Namespace}
	if !apiequality.Semantic.DeepEqual(r.Status.Allocation, old.Status.Allocation) || !apiequality.Semantic.DeepEqual(r.Status.ReservedFor, old.Status.ReservedFor) {
		errs = append(errs, asked.binding(ctx)...)
	}
	if r.Status.Allocation == nil {
		return errs
	}
	verbs := []string{resourcev1.VerbPrefixArbitraryNode + info.Verb}
	if onNode(who, nodeOf(r.Status.Allocation)) {
		verbs = append([]string{resourcev1.VerbPrefixAssociatedNode + info.Verb}, verbs...)
	}
	for _, driver := range changedDrivers(&r.Status, &old.Status) {
		errs = append(errs, asked.driver(ctx, verbs, driver)...)
	}
	return errs
}

// asking is one request to change a claim's status.
type asking struct {
	Config
	who       user.Info
	verb      string
	namespace string
}

func (a asking) binding(ctx context.Context) field.ErrorList {
	err := a.allowed(ctx, authorizationv1.ResourceAttributes{Verb: a.verb, Subresource: resourcev1.SubresourceBinding})
	if err == nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("status", "allocation"), fmt.Sprintf(
		`changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="%s" permission: %s`, a.verb, err))}
}

// driver wants one of verbs; the first refusal is told.
func (a asking) driver(ctx context.Context, verbs []string, driver string) field.ErrorList {
	var first error
	for _, verb := range verbs {
		err := a.allowed(ctx, authorizationv1.ResourceAttributes{
			Verb: verb, Subresource: resourcev1.SubresourceDriver, Namespace: a.namespace, Name: driver,
		})
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return field.ErrorList{field.Forbidden(field.NewPath("status", "devices"), fmt.Sprintf(
		`changing status.devices requires resource="resourceclaims/driver", verb="%s" permission: %s`, verbs, first))}
}

// allowed asks the server's authorizer about a subresource of claims that only rights know.
func (a asking) allowed(ctx context.Context, what authorizationv1.ResourceAttributes) error {
	what.Group, what.Version, what.Resource = gv.Group, gv.Version, "resourceclaims"
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range a.who.GetExtra() {
		extra[key] = values
	}
	review, err := a.Client().AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: a.who.GetName(), UID: a.who.GetUID(), Groups: a.who.GetGroups(), Extra: extra, ResourceAttributes: &what,
		},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return err
	case review.Status.Allowed:
		return nil
	}
	scope := "at the cluster scope"
	if what.Namespace != "" {
		scope = fmt.Sprintf("in the namespace %q", what.Namespace)
	}
	text := fmt.Sprintf("User %q cannot %s resource \"resourceclaims/%s\" in API group %q %s", a.who.GetName(), what.Verb, what.Subresource, what.Group, scope)
	return fmt.Errorf("%s", strings.TrimSuffix(text+": "+review.Status.Reason, ": "))
}

// changedDrivers are those of devices whose status is new, changed or gone.
func changedDrivers(s, old *resourcev1.ResourceClaimStatus) []string {
	before := map[deviceID]*resourcev1.AllocatedDeviceStatus{}
	for i := range old.Devices {
		before[statusID(&old.Devices[i])] = &old.Devices[i]
	}
	changed := map[string]bool{}
	for i := range s.Devices {
		d := &s.Devices[i]
		was, ok := before[statusID(d)]
		delete(before, statusID(d))
		if !ok || !apiequality.Semantic.DeepEqual(was, d) {
			changed[d.Driver] = true
		}
	}
	for _, d := range before {
		changed[d.Driver] = true
	}
	return sortedKeys(changed)
}

// nodeOf is the one node that an allocation is for, "" if it is not for one by name.
func nodeOf(a *resourcev1.AllocationResult) string {
	if a.NodeSelector == nil || len(a.NodeSelector.NodeSelectorTerms) != 1 {
		return ""
	}
	term := a.NodeSelector.NodeSelectorTerms[0]
	if len(term.MatchExpressions) != 0 || len(term.MatchFields) != 1 {
		return ""
	}
	f := term.MatchFields[0]
	if f.Key != metav1.ObjectNameField || f.Operator != corev1.NodeSelectorOpIn || len(f.Values) != 1 {
		return ""
	}
	return f.Values[0]
}

// onNode says whether a user is a service account whose token is bound to a pod on the node.
func onNode(who user.Info, node string) bool {
	if _, _, err := serviceaccount.SplitUsername(who.GetName()); err != nil || node == "" {
		return false
	}
	return slices.Equal(who.GetExtra()[serviceaccount.NodeNameKey], []string{node})
}
