package rbac

import (
	"context"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	rbacv1apply "k8s.io/client-go/applyconfigurations/rbac/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"

	"dhow/controller"
)

// AggregationController keeps the rules of aggregated cluster roles (admin, edit, view) the union of those that
// they select.
func AggregationController() controller.Controller {
	return controller.Controller{
		Name:  "clusterrole-aggregation-controller",
		Reads: []controller.Read{{Object: &rbacv1.ClusterRole{}, Keys: aggregated}},
		Writes: []controller.Write{{
			Group: rbacv1.GroupName, Resources: []string{"clusterroles"}, Verbs: []string{"escalate", "get", "list", "watch", "update", "patch"},
		}},
		Workers: 1,
		New: func(env controller.Env) controller.Reconciler {
			return &aggregator{env, env.Informers.Rbac().V1().ClusterRoles().Lister()}
		},
	}
}

// aggregated are all aggregated roles: which of them select a role that changed, or did, is as dear to find out.
func aggregated(env controller.Env, _, _ runtime.Object) []types.NamespacedName {
	roles, err := env.Informers.Rbac().V1().ClusterRoles().Lister().List(labels.Everything())
	if err != nil {
		return nil // a lister over a cache of the right type cannot fail
	}
	var keys []types.NamespacedName
	for _, r := range roles {
		if r.AggregationRule != nil {
			keys = append(keys, types.NamespacedName{Name: r.Name})
		}
	}
	return keys
}

type aggregator struct {
	env   controller.Env
	roles rbaclisters.ClusterRoleLister
}

// Reconcile implements controller.Reconciler.
func (a *aggregator) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	role, err := a.roles.Get(key.Name)
	if apierrors.IsNotFound(err) || (err == nil && role.AggregationRule == nil) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	all, err := a.roles.List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	rules, err := aggregate(role, all)
	if err != nil || equality.Semantic.DeepEqual(rules, role.Rules) {
		return controller.Result{}, err
	}
	_, err = a.env.Client.RbacV1().ClusterRoles().Apply(ctx, rbacv1apply.ClusterRole(role.Name).WithRules(toApply(rules)...),
		metav1.ApplyOptions{FieldManager: "clusterrole-aggregation-controller", Force: true})
	return controller.Result{}, err
}

// aggregate is the union of the rules of all roles that role selects, in the order of selectors and then of names.
func aggregate(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b *rbacv1.ClusterRole) int { return strings.Compare(a.Name, b.Name) })
	rules := []rbacv1.PolicyRule{}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, err
		}
		for _, other := range sorted {
			if other.Name == role.Name || !selector.Matches(labels.Set(other.Labels)) {
				continue
			}
			for _, r := range other.Rules {
				if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(have, r) }) {
					rules = append(rules, r)
				}
			}
		}
	}
	return rules, nil
}

func toApply(rules []rbacv1.PolicyRule) []*rbacv1apply.PolicyRuleApplyConfiguration {
	all := make([]*rbacv1apply.PolicyRuleApplyConfiguration, 0, len(rules))
	for _, r := range rules {
		all = append(all, &rbacv1apply.PolicyRuleApplyConfiguration{
			Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources,
			ResourceNames: r.ResourceNames, NonResourceURLs: r.NonResourceURLs,
		})
	}
	return all
}
