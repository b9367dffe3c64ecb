package rbac

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

func bindingColumns(what, ref string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Column("Role", ref), table.Age(),
		table.Wide("Users", "Users in the "+what),
		table.Wide("Groups", "Groups in the "+what),
		table.Wide("ServiceAccounts", "ServiceAccounts in the "+what),
	}
}

func bindingCells(ref rbacv1.RoleRef, subjects []rbacv1.Subject, created metav1.Time) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	const sep = ", "
	return []any{ref.Kind + "/" + ref.Name, table.Since(created),
		strings.Join(users, sep), strings.Join(groups, sep), strings.Join(accounts, sep)}
}
