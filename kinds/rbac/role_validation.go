package rbac

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

func validateRole(_ context.Context, r *rbacv1.Role) field.ErrorList {
	var l check.List
	checkRules(&l, r.Rules, true)
	return l.Errors()
}

func validateClusterRole(_ context.Context, r *rbacv1.ClusterRole) field.ErrorList {
	var l check.List
	checkRules(&l, r.Rules, false)
	if r.AggregationRule == nil {
		return l.Errors()
	}
	at, selectors := field.NewPath("aggregationRule", "clusterRoleSelectors"), r.AggregationRule.ClusterRoleSelectors
	if len(selectors) == 0 {
		l.Required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil")
	}
	for i := range selectors {
		l.Selector(at.Index(i), &selectors[i])
	}
	return l.Errors()
}

func checkRules(l *check.List, rules []rbacv1.PolicyRule, namespaced bool) {
	for i := range rules {
		r, at := &rules[i], field.NewPath("rules").Index(i)
		if len(r.Verbs) == 0 {
			l.Required(at.Child("verbs"), "verbs must contain at least one value")
		}
		if len(r.NonResourceURLs) > 0 {
			if namespaced {
				l.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs")
			}
			if len(r.APIGroups)+len(r.Resources)+len(r.ResourceNames) > 0 {
				l.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs")
			}
			continue
		}
		if len(r.APIGroups) == 0 {
			l.Required(at.Child("apiGroups"), "resource rules must supply at least one api group")
		}
		if len(r.Resources) == 0 {
			l.Required(at.Child("resources"), "resource rules must supply at least one resource")
		}
	}
}

func validateRoleBinding(_ context.Context, b *rbacv1.RoleBinding) field.ErrorList {
	return checkBinding(b.RoleRef, b.Subjects, true, "Role", "ClusterRole")
}

func validateClusterRoleBinding(_ context.Context, b *rbacv1.ClusterRoleBinding) field.ErrorList {
	return checkBinding(b.RoleRef, b.Subjects, false, "ClusterRole")
}

func checkBinding(ref rbacv1.RoleRef, subjects []rbacv1.Subject, namespaced bool, kinds ...string) field.ErrorList {
	var l check.List
	at := field.NewPath("roleRef")
	check.Known(&l, at.Child("apiGroup"), ref.APIGroup, rbacv1.GroupName)
	check.Known(&l, at.Child("kind"), ref.Kind, kinds...)
	if l.NonEmpty(at.Child("name"), ref.Name) {
		l.Each(at.Child("name"), ref.Name, path.IsValidPathSegmentName(ref.Name))
	}
	for i := range subjects {
		checkSubject(&l, field.NewPath("subjects").Index(i), &subjects[i], namespaced)
	}
	return l.Errors()
}

func checkSubject(l *check.List, at *field.Path, s *rbacv1.Subject, namespaced bool) {
	named := l.NonEmpty(at.Child("name"), s.Name)
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if named {
			l.Each(at.Child("name"), s.Name, apivalidation.ValidateServiceAccountName(s.Name, false))
		}
		check.Known(l, at.Child("apiGroup"), s.APIGroup, "")
		if !namespaced {
			l.NonEmpty(at.Child("namespace"), s.Namespace)
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		check.Known(l, at.Child("apiGroup"), s.APIGroup, rbacv1.GroupName)
	default:
		l.Add(field.NotSupported(at.Child("kind"), s.Kind, []string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
}

func validateRoleBindingUpdate(ctx context.Context, b, old *rbacv1.RoleBinding) field.ErrorList {
	return append(validateRoleBinding(ctx, b), sameRole(b.RoleRef, old.RoleRef)...)
}

func validateClusterRoleBindingUpdate(ctx context.Context, b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	return append(validateClusterRoleBinding(ctx, b), sameRole(b.RoleRef, old.RoleRef)...)
}

// sameRole: who may write subjects must not thereby choose another role.
func sameRole(now, old rbacv1.RoleRef) field.ErrorList {
	if now == old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), now, "cannot change roleRef")}
}
