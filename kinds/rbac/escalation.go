package rbac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// Guard makes the store of one of the four kinds refuse to give away what the writer does not have, unless the
// writer may "escalate" the role or "bind" it. It is the kinds' Hook. full is the server's whole authorizer, which
// is asked for those two verbs when the server runs; this one when nil.
func (a *Authorizer) Guard(store *genericregistry.Store, full func() authorizer.Authorizer) {
	if full == nil {
		full = func() authorizer.Authorizer { return a }
	}
	check := func(ctx context.Context, obj, old runtime.Object) error { return a.check(ctx, full(), store, obj, old) }
	store.BeginCreate = func(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (genericregistry.FinishFunc, error) {
		return finished, check(ctx, obj, nil)
	}
	store.BeginUpdate = func(ctx context.Context, obj, old runtime.Object, _ *metav1.UpdateOptions) (genericregistry.FinishFunc, error) {
		if onlyForCollector(obj, old) {
			return finished, nil
		}
		return finished, check(ctx, obj, old)
	}
}

func finished(context.Context, bool) {}

// check says why the user of ctx may not write obj in the place of old, which is nil for a new one.
func (a *Authorizer) check(ctx context.Context, full authorizer.Authorizer, store *genericregistry.Store, obj, old runtime.Object) error {
	u, ok := request.UserFrom(ctx)
	if ok && slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return nil
	}
	accessor, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("%T is no role and no binding", obj)
	}
	rules, free, err := a.granted(ctx, full, u, obj)
	if free || err != nil {
		return err
	}
	if err := a.covered(ctx, u, rules); err != nil {
		return apierrors.NewForbidden(store.DefaultQualifiedResource, accessor.GetName(), err)
	}
	if (selects(obj) || selects(old)) && a.covered(ctx, u, everything()) != nil {
		err := errors.New("must have cluster-admin privileges to use the aggregationRule")
		return apierrors.NewForbidden(store.DefaultQualifiedResource, accessor.GetName(), err)
	}
	return nil
}

// granted returns the rules that obj gives away, or that the user is free to give whatever they are.
func (a *Authorizer) granted(ctx context.Context, full authorizer.Authorizer, u user.Info, obj runtime.Object) (rules []rbacv1.PolicyRule, free bool, err error) {
	switch o := obj.(type) {
	case *rbacv1.ClusterRole:
		return o.Rules, mayEscalate(ctx, full, u), nil
	case *rbacv1.Role:
		return o.Rules, mayEscalate(ctx, full, u), nil
	}
	namespace, _, role := partsOf(obj)
	if mayBind(ctx, full, u, role, namespace) {
		return nil, true, nil
	}
	rules, err = a.rulesOf(role, namespace)
	return rules, false, err
}

// selects: what an aggregated role will gather is unknown, so only who has everything may write one.
func selects(obj runtime.Object) bool {
	role, ok := obj.(*rbacv1.ClusterRole)
	return ok && role.AggregationRule != nil && len(role.AggregationRule.ClusterRoleSelectors) > 0
}

func everything() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
		{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}
}

func mayEscalate(ctx context.Context, full authorizer.Authorizer, u user.Info) bool {
	info, ok := request.RequestInfoFrom(ctx)
	if !ok || u == nil || !info.IsResourceRequest || info.APIGroup != rbacv1.GroupName ||
		(info.Resource != "roles" && info.Resource != "clusterroles") {
		return false
	}
	decision, _, _ := full.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "escalate", APIGroup: info.APIGroup, APIVersion: "*", Resource: info.Resource,
		Name: info.Name, Namespace: info.Namespace, ResourceRequest: true,
	})
	return decision == authorizer.DecisionAllow
}

func mayBind(ctx context.Context, full authorizer.Authorizer, u user.Info, role rbacv1.RoleRef, namespace string) bool {
	resource := map[string]string{"Role": "roles", "ClusterRole": "clusterroles"}[role.Kind]
	if resource == "" || u == nil {
		return false
	}
	decision, _, _ := full.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "bind", APIGroup: role.APIGroup, APIVersion: "*", Resource: resource,
		Name: role.Name, Namespace: namespace, ResourceRequest: true,
	})
	return decision == authorizer.DecisionAllow
}

// covered says which of rules the user of ctx does not hold.
func (a *Authorizer) covered(ctx context.Context, u user.Info, rules []rbacv1.PolicyRule) error {
	if u == nil {
		return errors.New("no user on context")
	}
	namespace, _ := request.NamespaceFrom(ctx)
	held, resolveErr := a.policyOf(u, namespace)
	ok, missing := validation.Covers(held, rules)
	if ok {
		return nil
	}
	lines := make([]string, 0, len(missing))
	for _, rule := range compact(missing) {
		lines = append(lines, describe(rule))
	}
	slices.Sort(lines)
	msg := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		u.GetName(), u.GetGroups(), strings.Join(slices.Compact(lines), "\n"))
	if resolveErr != nil {
		msg += fmt.Sprintf("; resolution errors: %v", []error{resolveErr})
	}
	return errors.New(msg)
}

// compact joins the verbs of rules, of one verb each, that are otherwise the same.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var joined []rbacv1.PolicyRule
	for _, r := range rules {
		i := slices.IndexFunc(joined, func(j rbacv1.PolicyRule) bool {
			return len(r.NonResourceURLs) == 0 && len(j.NonResourceURLs) == 0 && slices.Equal(j.APIGroups, r.APIGroups) &&
				slices.Equal(j.Resources, r.Resources) && slices.Equal(j.ResourceNames, r.ResourceNames)
		})
		if i < 0 {
			joined = append(joined, *r.DeepCopy())
			continue
		}
		joined[i].Verbs = append(joined[i].Verbs, r.Verbs...)
	}
	return joined
}

// describe is upstream's short form of a rule.
func describe(r rbacv1.PolicyRule) string {
	var parts []string
	for _, p := range []struct {
		name   string
		values []string
	}{
		{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs},
		{"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs},
	} {
		if len(p.values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", p.name, p.values))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// onlyForCollector: the change is one that the garbage collector makes, which may not hold what the object gives.
func onlyForCollector(obj, old runtime.Object) bool {
	copied, ok := obj.DeepCopyObject().(metav1.Object)
	before, isMeta := old.(metav1.Object)
	if !ok || !isMeta {
		return false
	}
	copied.SetOwnerReferences(before.GetOwnerReferences())
	copied.SetFinalizers(before.GetFinalizers())
	copied.SetManagedFields(before.GetManagedFields())
	return equality.Semantic.DeepEqual(copied, old)
}
