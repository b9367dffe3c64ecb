package rbac

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"dhow/apiserver"
)

// Kinds defines Role, RoleBinding, ClusterRole and ClusterRoleBinding. guard is their hook, such as one that calls
// Authorizer.Guard; nil for none.
func Kinds(guard func(store *genericregistry.Store)) []apiserver.Kind {
	v1 := rbacv1.SchemeGroupVersion
	return []apiserver.Kind{
		apiserver.Define[*rbacv1.Role, *rbacv1.RoleList](v1, apiserver.Names{Kind: "Role", Resource: "roles"},
			apiserver.Rules[*rbacv1.Role]{
				Validate: validateRole,
				ValidateUpdate: func(ctx context.Context, r, _ *rbacv1.Role) field.ErrorList {
					return validateRole(ctx, r)
				},
				ValidateName: path.IsValidPathSegmentName, AllowCreateOnUpdate: true, Hook: guard,
			}),
		apiserver.Define[*rbacv1.RoleBinding, *rbacv1.RoleBindingList](v1, apiserver.Names{Kind: "RoleBinding", Resource: "rolebindings"},
			apiserver.Rules[*rbacv1.RoleBinding]{
				Default:        func(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) },
				Validate:       validateRoleBinding,
				ValidateUpdate: validateRoleBindingUpdate,
				ValidateName:   path.IsValidPathSegmentName, AllowCreateOnUpdate: true, Hook: guard,
				Columns: bindingColumns("roleBinding", rbacv1.RoleBinding{}.SwaggerDoc()["roleRef"]),
				Cells: func(b *rbacv1.RoleBinding) []any {
					return bindingCells(b.RoleRef, b.Subjects, b.CreationTimestamp)
				},
			}),
		apiserver.Define[*rbacv1.ClusterRole, *rbacv1.ClusterRoleList](v1,
			apiserver.Names{Kind: "ClusterRole", Resource: "clusterroles", Cluster: true},
			apiserver.Rules[*rbacv1.ClusterRole]{
				Validate: validateClusterRole,
				ValidateUpdate: func(ctx context.Context, r, _ *rbacv1.ClusterRole) field.ErrorList {
					return validateClusterRole(ctx, r)
				},
				ValidateName: path.IsValidPathSegmentName, AllowCreateOnUpdate: true, Hook: guard,
			}),
		apiserver.Define[*rbacv1.ClusterRoleBinding, *rbacv1.ClusterRoleBindingList](v1,
			apiserver.Names{Kind: "ClusterRoleBinding", Resource: "clusterrolebindings", Cluster: true},
			apiserver.Rules[*rbacv1.ClusterRoleBinding]{
				Default:        func(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) },
				Validate:       validateClusterRoleBinding,
				ValidateUpdate: validateClusterRoleBindingUpdate,
				ValidateName:   path.IsValidPathSegmentName, AllowCreateOnUpdate: true, Hook: guard,
				Columns: bindingColumns("clusterRoleBinding", rbacv1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"]),
				Cells: func(b *rbacv1.ClusterRoleBinding) []any {
					return bindingCells(b.RoleRef, b.Subjects, b.CreationTimestamp)
				},
			}),
	}
}

// defaultBinding fills API groups: users and groups are of RBAC's own.
func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	if ref.APIGroup == "" {
		ref.APIGroup = rbacv1.GroupName
	}
	for i := range subjects {
		if s := &subjects[i]; s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = rbacv1.GroupName
		}
	}
}
