package garbage

import (
	"context"
	"errors"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"dhow/api/admit"
)

// OwnerPermission lets nobody give an object to an owner who could not delete it, nor keep an owner from being deleted
// whose finalizers they could not write: the plug-in OwnerReferencesPermissionEnforcement.
func OwnerPermission(client kubernetes.Interface) admission.Interface {
	return &ownerPermission{
		Handler: admission.NewHandler(admission.Create, admission.Update),
		mapper:  restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery())),
	}
}

type ownerPermission struct {
	*admission.Handler
	mapper meta.RESTMapper
	authz  authorizer.Authorizer
}

var _ admission.ValidationInterface = &ownerPermission{}

// SetAuthorizer implements initializer.WantsAuthorizer: the server gives its own.
func (p *ownerPermission) SetAuthorizer(a authorizer.Authorizer) { p.authz = a }

// ValidateInitialization implements admission.InitializationValidator.
func (p *ownerPermission) ValidateInitialization() error {
	if p.authz == nil {
		return errors.New("OwnerReferencesPermissionEnforcement: no authorizer")
	}
	return nil
}

// Validate implements admission.ValidationInterface.
func (p *ownerPermission) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	owners, old := ownersOf(a.GetObject()), ownersOf(a.GetOldObject())
	if admit.On(a, schema.GroupResource{Resource: "pods"}, "status") || apiequality.Semantic.DeepEqual(owners, old) {
		return nil
	}
	if a.GetOperation() != admission.Create {
		if refused := p.refused(ctx, mayDelete(a)); refused != nil {
			return admission.NewForbidden(a, fmt.Errorf("cannot set an ownerRef on a resource you can't delete: %w", refused))
		}
	}
	blocking := newlyBlocking(owners, old)
	if len(blocking) == 0 {
		return nil
	}
	if p.refused(ctx, mayFinalize(a, "*", "*", "*", "*", "")) == nil {
		return nil
	}
	for _, owner := range blocking {
		if err := p.mayBlock(ctx, a, owner); err != nil {
			return admission.NewForbidden(a, err)
		}
	}
	return nil
}

func ownersOf(obj runtime.Object) []metav1.OwnerReference {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil // there is none, or it has no metadata
	}
	return m.GetOwnerReferences()
}

// newlyBlocking are the owners whose deletion did not wait for the object before.
func newlyBlocking(owners, old []metav1.OwnerReference) []metav1.OwnerReference {
	before := map[string]bool{}
	for _, o := range old {
		before[string(o.UID)] = o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion
	}
	var all []metav1.OwnerReference
	for _, o := range owners {
		if o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion && !before[string(o.UID)] {
			all = append(all, o)
		}
	}
	return all
}

func (p *ownerPermission) mayBlock(ctx context.Context, a admission.Attributes, owner metav1.OwnerReference) error {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	var mappings []*meta.RESTMapping
	if err == nil {
		mappings, err = p.mapper.RESTMappings(schema.GroupKind{Group: gv.Group, Kind: owner.Kind}, gv.Version)
	}
	if err != nil {
		return fmt.Errorf("cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion %s Kind %s: %w", owner.APIVersion, owner.Kind, err)
	}
	for _, m := range mappings {
		namespace := ""
		if m.Scope.Name() == meta.RESTScopeNameNamespace {
			namespace = a.GetNamespace()
		}
		if refused := p.refused(ctx, mayFinalize(a, m.Resource.Group, m.Resource.Version, m.Resource.Resource, owner.Name, namespace)); refused != nil {
			return fmt.Errorf("cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: %w", refused)
		}
	}
	return nil
}

func mayDelete(a admission.Attributes) authorizer.AttributesRecord {
	r := a.GetResource()
	return authorizer.AttributesRecord{
		User: a.GetUserInfo(), Verb: "delete", Namespace: a.GetNamespace(), Name: a.GetName(), ResourceRequest: true,
		APIGroup: r.Group, APIVersion: r.Version, Resource: r.Resource, Subresource: a.GetSubresource(),
	}
}

func mayFinalize(a admission.Attributes, group, version, resource, name, namespace string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{
		User: a.GetUserInfo(), Verb: "update", Namespace: namespace, Name: name, ResourceRequest: true,
		APIGroup: group, APIVersion: version, Resource: resource, Subresource: "finalizers",
	}
}

// refused says why the user may not, nil if they may.
func (p *ownerPermission) refused(ctx context.Context, what authorizer.AttributesRecord) error {
	decision, reason, err := p.authz.Authorize(ctx, what)
	if decision == authorizer.DecisionAllow {
		return nil
	}
	return fmt.Errorf("%v, %v", reason, err)
}
