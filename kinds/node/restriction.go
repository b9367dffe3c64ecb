package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	kubelet "k8s.io/kubelet/pkg/apis"
)

// Restriction keeps a node's user, system:node:<name>, to its own: its Node, Lease and CSINode, the status of its
// pods, their deletion and eviction, tokens bound to them, and certificates for itself and them. Roles alone cannot say "its own".
func Restriction(f informers.SharedInformerFactory) admission.Interface {
	core := f.Core().V1()
	core.Pods().Informer()
	core.Nodes().Informer()
	return &restriction{
		Handler: admission.NewHandler(admission.Create, admission.Update, admission.Delete),
		pods:    core.Pods().Lister(), nodes: core.Nodes().Lister(),
		claims: core.PersistentVolumeClaims().Lister(), volumes: core.PersistentVolumes().Lister(),
		drivers: f.Storage().V1().CSIDrivers().Lister(), accounts: core.ServiceAccounts().Lister(),
	}
}

type restriction struct {
	*admission.Handler
	pods     corelisters.PodLister
	nodes    corelisters.NodeLister
	claims   corelisters.PersistentVolumeClaimLister
	volumes  corelisters.PersistentVolumeLister
	drivers  storagelisters.CSIDriverLister
	accounts corelisters.ServiceAccountLister
}

var (
	_ admission.MutationInterface = &restriction{}

	podsResource     = corev1.Resource("pods")
	nodesResource    = corev1.Resource("nodes")
	accountsResource = corev1.Resource("serviceaccounts")
	claimsResource   = corev1.Resource("persistentvolumeclaims")
	leasesResource   = coordinationv1.Resource("leases")
	csiNodesResource = storagev1.Resource("csinodes")
	slicesResource   = resourcev1.Resource("resourceslices")
)

// identity is the name of the node that asks; isNode without a name is a user who only claims to be one.
func identity(u user.Info) (name string, isNode bool) {
	if u == nil {
		return "", false
	}
	name, isNode = strings.CutPrefix(u.GetName(), "system:node:")
	return name, isNode && slices.Contains(u.GetGroups(), user.NodesGroup)
}

// Admit refuses; it changes nothing. It runs among the plug-ins that change, so that it sees what was asked for.
func (r *restriction) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	node, isNode := identity(a.GetUserInfo())
	if !isNode {
		return nil
	}
	if node == "" {
		return admission.NewForbidden(a, fmt.Errorf("could not determine node from user %q", a.GetUserInfo().GetName()))
	}
	var err error
	switch a.GetResource().GroupResource() {
	case podsResource:
		err = r.pod(node, a)
	case nodesResource:
		err = ownNode(node, a)
	case claimsResource:
		err = claimStatus(node, a)
	case accountsResource:
		err = r.token(node, a)
	case leasesResource:
		err = ownLease(node, a)
	case csiNodesResource:
		err = ownName(node, a, "can only access CSINode with the same name as the requesting node")
	case slicesResource:
		err = ownSlice(node, a)
	case requestsResource:
		err = ownRequest(node, a)
	case podRequestsResource:
		err = r.podRequest(node, a)
	}
	if err == nil || asked(err) || errors.As(err, &passing{}) {
		return err
	}
	return admission.NewForbidden(a, err)
}

// object is the object of a request, or an error that says what came instead.
func object[T any](obj any) (T, error) {
	o, ok := obj.(T)
	if !ok {
		return o, fmt.Errorf("unexpected type %T", obj)
	}
	return o, nil
}

// ownNode: a node creates and changes its own Node, but not what would lead pods or rights to it.
func ownNode(node string, a admission.Attributes) error {
	if a.GetName() != node {
		return fmt.Errorf("node %q is not allowed to modify node %q", node, a.GetName())
	}
	switch a.GetOperation() {
	case admission.Create:
		if a.GetSubresource() != "" {
			return nil
		}
		n, err := object[*corev1.Node](a.GetObject())
		if err != nil {
			return err
		}
		if n.Spec.ConfigSource != nil {
			return fmt.Errorf("node %q is not allowed to create pods with a non-nil configSource", node)
		}
		if bad := forbiddenLabels(n.Labels, nil); len(bad) > 0 {
			return fmt.Errorf("node %q is not allowed to set the following labels: %s", node, strings.Join(bad, ", "))
		}
	case admission.Update:
		return nodeUpdate(node, a)
	}
	return nil
}

func nodeUpdate(node string, a admission.Attributes) error {
	n, err := object[*corev1.Node](a.GetObject())
	if err != nil {
		return err
	}
	old, err := object[*corev1.Node](a.GetOldObject())
	if err != nil {
		return err
	}
	switch {
	case stale(n, old):
		return nil
	case n.Spec.ConfigSource != nil && !apiequality.Semantic.DeepEqual(n.Spec.ConfigSource, old.Spec.ConfigSource):
		return fmt.Errorf("node %q is not allowed to update configSource to a new non-nil configSource", node)
	case !apiequality.Semantic.DeepEqual(n.Spec.Taints, old.Spec.Taints):
		return fmt.Errorf("node %q is not allowed to modify taints", node)
	case !apiequality.Semantic.DeepEqual(n.OwnerReferences, old.OwnerReferences):
		return fmt.Errorf("node %q is not allowed to modify ownerReferences", node)
	}
	if bad := forbiddenLabels(n.Labels, old.Labels); len(bad) > 0 {
		return fmt.Errorf("is not allowed to modify labels: %s", strings.Join(bad, ", "))
	}
	return nil
}

// stale: the object is not the one that is stored, so that storage will refuse it as a conflict. What differs is not
// what the node would change, and a node that is told of the conflict tries again.
func stale(now, old metav1.Object) bool {
	return now.GetResourceVersion() != "" && now.GetResourceVersion() != old.GetResourceVersion()
}

// forbiddenLabels are the keys that differ and that a node may not decide on: with them it could call workloads to
// itself.
func forbiddenLabels(now, old map[string]string) []string {
	bad := sets.Set[string]{}
	check := func(one, other map[string]string) {
		for key, value := range one {
			if was, ok := other[key]; (!ok || was != value) && reserved(key) {
				bad.Insert(key)
			}
		}
	}
	check(now, old)
	check(old, now)
	return sets.List(bad)
}

func reserved(key string) bool {
	domain, _, prefixed := strings.Cut(key, "/")
	if !prefixed {
		return false
	}
	in := func(parent string) bool { return domain == parent || strings.HasSuffix(domain, "."+parent) }
	return in(corev1.LabelNamespaceNodeRestriction) || (in("kubernetes.io") || in("k8s.io")) && !kubelet.IsKubeletLabel(key)
}

func ownLease(node string, a admission.Attributes) error {
	if a.GetNamespace() != corev1.NamespaceNodeLease {
		return fmt.Errorf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	return ownName(node, a, "can only access node lease with the same name as the requesting node")
}

// ownName: the object is called as the node is.
func ownName(node string, a admission.Attributes, refusal string) error {
	name := a.GetName()
	if a.GetOperation() == admission.Create {
		m, err := meta.Accessor(a.GetObject())
		if err != nil {
			return errors.New("unable to access the object name")
		}
		name = m.GetName()
	}
	if name != node {
		return errors.New(refusal)
	}
	return nil
}

func ownSlice(node string, a admission.Attributes) error {
	verb, obj := "create", a.GetObject()
	switch a.GetOperation() {
	case admission.Update:
		return nil // roles see to it
	case admission.Delete:
		verb, obj = "delete", a.GetOldObject()
	}
	s, err := object[*resourcev1.ResourceSlice](obj)
	if err != nil {
		return err
	}
	if s.Spec.NodeName == nil || *s.Spec.NodeName != node {
		return fmt.Errorf("can only %s ResourceSlice with the same NodeName as the requesting node", verb)
	}
	return nil
}

// claimStatus: a node tells how far the growth of a volume is, nothing else.
func claimStatus(node string, a admission.Attributes) error {
	if a.GetSubresource() != "status" {
		return errors.New("may only update PVC status")
	}
	if a.GetOperation() != admission.Update {
		return fmt.Errorf("unexpected operation %q", a.GetOperation())
	}
	old, err := object[*corev1.PersistentVolumeClaim](a.GetOldObject())
	if err != nil {
		return err
	}
	now, err := object[*corev1.PersistentVolumeClaim](a.GetObject())
	if err != nil {
		return err
	}
	old, now = old.DeepCopy(), now.DeepCopy()
	for _, c := range []*corev1.PersistentVolumeClaim{old, now} {
		c.ResourceVersion, c.ManagedFields = "", nil
		s := &c.Status
		s.Capacity, s.Conditions, s.AllocatedResources, s.AllocatedResourceStatuses = nil, nil, nil, nil
	}
	if !apiequality.Semantic.DeepEqual(old, now) {
		return fmt.Errorf("node %q is not allowed to update fields other than status.quantity and status.conditions: %v", node, diff.Diff(old, now))
	}
	return nil
}
