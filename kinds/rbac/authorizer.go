// Package rbac is all that the server knows of roles and their bindings: the kinds, the authorizer that reads them, the
// roles that every cluster has, and the union of aggregated ones.
package rbac

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
)

// Authorizer allows what roles and their bindings say. It never denies: what no rule allows is somebody else's to
// allow. Groups that may do everything (system:masters) come before it in the server's chain.
type Authorizer struct {
	roles           rbaclisters.RoleLister
	clusterRoles    rbaclisters.ClusterRoleLister
	bindings        cache.Indexer // RoleBindings by bySubject
	clusterBindings cache.Indexer // ClusterRoleBindings by bySubject
}

var (
	_ authorizer.Authorizer   = &Authorizer{}
	_ authorizer.RuleResolver = &Authorizer{}
)

// NewAuthorizer makes an authorizer over the factory's informers, to which it adds an index: a request costs what
// its user's own bindings cost, however many others there are.
func NewAuthorizer(factory informers.SharedInformerFactory) (*Authorizer, error) {
	all := factory.Rbac().V1()
	bindings, clusterBindings := all.RoleBindings().Informer(), all.ClusterRoleBindings().Informer()
	for _, informer := range []cache.SharedIndexInformer{bindings, clusterBindings} {
		if informer.GetIndexer().GetIndexers()[bySubject] != nil {
			continue // another authorizer of the same factory
		}
		if err := informer.AddIndexers(cache.Indexers{bySubject: subjectKeys}); err != nil {
			return nil, fmt.Errorf("index role bindings by subject: %w", err)
		}
	}
	return &Authorizer{
		roles: all.Roles().Lister(), clusterRoles: all.ClusterRoles().Lister(),
		bindings: bindings.GetIndexer(), clusterBindings: clusterBindings.GetIndexer(),
	}, nil
}

// Authorize implements authorizer.Authorizer.
func (a *Authorizer) Authorize(_ context.Context, request authorizer.Attributes) (authorizer.Decision, string, error) {
	var reason string
	var errs []error
	a.visit(request.GetUser(), request.GetNamespace(), func(from *grant, rule *rbacv1.PolicyRule, err error) bool {
		if err != nil {
			errs = append(errs, err)
			return true
		}
		if !allows(rule, request) {
			return true
		}
		reason = "RBAC: allowed by " + from.String()
		return false
	})
	if reason != "" {
		return authorizer.DecisionAllow, reason, nil
	}
	if len(errs) > 0 {
		reason = fmt.Sprintf("RBAC: %v", utilerrors.NewAggregate(errs))
	}
	return authorizer.DecisionNoOpinion, reason, nil
}

// ConditionsAwareAuthorize implements authorizer.Authorizer; a role has no conditions.
func (a *Authorizer) ConditionsAwareAuthorize(ctx context.Context, request authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, request))
}

// EvaluateConditions implements authorizer.Authorizer.
func (a *Authorizer) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor implements authorizer.RuleResolver: what `kubectl auth can-i --list` shows.
func (a *Authorizer) RulesFor(_ context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	var resources []authorizer.ResourceRuleInfo
	var urls []authorizer.NonResourceRuleInfo
	rules, err := a.policyOf(u, namespace)
	for _, r := range rules {
		if len(r.Resources) > 0 {
			resources = append(resources, &authorizer.DefaultResourceRuleInfo{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
			})
		}
		if len(r.NonResourceURLs) > 0 {
			urls = append(urls, &authorizer.DefaultNonResourceRuleInfo{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	return resources, urls, false, err
}

// policyOf collects a user's rules in a namespace; with an error the rules that could be found.
func (a *Authorizer) policyOf(u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	var rules []rbacv1.PolicyRule
	var errs []error
	a.visit(u, namespace, func(_ *grant, rule *rbacv1.PolicyRule, err error) bool {
		if err != nil {
			errs = append(errs, err)
		} else {
			rules = append(rules, *rule)
		}
		return true
	})
	return rules, utilerrors.NewAggregate(errs)
}

// visit calls f with each rule that applies to u in the namespace (cluster-wide when empty), or with the error of
// finding it, until f returns false.
func (a *Authorizer) visit(u user.Info, namespace string, f func(from *grant, rule *rbacv1.PolicyRule, err error) bool) {
	if u == nil {
		return
	}
	for _, key := range keysOf(u, "") {
		if !a.visitBindings(a.clusterBindings, key, "", f) {
			return
		}
	}
	if namespace == "" {
		return
	}
	for _, key := range keysOf(u, namespace) {
		if !a.visitBindings(a.bindings, key, namespace, f) {
			return
		}
	}
}

func (a *Authorizer) visitBindings(in cache.Indexer, key, namespace string, f func(*grant, *rbacv1.PolicyRule, error) bool) bool {
	found, err := in.ByIndex(bySubject, key)
	if err != nil {
		return f(nil, nil, err)
	}
	for _, obj := range found {
		from := grantOf(obj, key, namespace)
		rules, err := a.rulesOf(from.role, namespace)
		if err != nil {
			if !f(nil, nil, err) {
				return false
			}
			continue
		}
		for i := range rules {
			if !f(from, &rules[i], nil) {
				return false
			}
		}
	}
	return true
}

// rulesOf resolves the role that a binding in the namespace refers to.
func (a *Authorizer) rulesOf(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch ref.Kind {
	case "Role":
		role, err := a.roles.Roles(namespace).Get(ref.Name)
		if err != nil {
			return nil, err
		}
		return role.Rules, nil
	case "ClusterRole":
		role, err := a.clusterRoles.Get(ref.Name)
		if err != nil {
			return nil, err
		}
		return role.Rules, nil
	}
	return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
}

// keysOf are the index keys under which bindings for u are found.
func keysOf(u user.Info, namespace string) []string {
	keys := make([]string, 0, 1+len(u.GetGroups()))
	keys = append(keys, subjectKey(namespace, rbacv1.UserKind, u.GetName()))
	for _, g := range u.GetGroups() {
		if key := subjectKey(namespace, rbacv1.GroupKind, g); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}
