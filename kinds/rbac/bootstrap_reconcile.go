package rbac

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
)

// snapshot is what the cluster had, by name or namespace/name.
type snapshot struct {
	clusterRoles    map[string]*rbacv1.ClusterRole
	roles           map[string]*rbacv1.Role
	clusterBindings map[string]*rbacv1.ClusterRoleBinding
	bindings        map[string]*rbacv1.RoleBinding
}

func listed(ctx context.Context, client kubernetes.Interface) (*snapshot, error) {
	s := &snapshot{
		map[string]*rbacv1.ClusterRole{}, map[string]*rbacv1.Role{},
		map[string]*rbacv1.ClusterRoleBinding{}, map[string]*rbacv1.RoleBinding{},
	}
	rbac := client.RbacV1()
	clusterRoles, err := rbac.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list cluster roles: %w", err)
	}
	roles, err := rbac.Roles("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	clusterBindings, err := rbac.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list cluster role bindings: %w", err)
	}
	bindings, err := rbac.RoleBindings("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	keep(s.clusterRoles, clusterRoles.Items)
	keep(s.roles, roles.Items)
	keep(s.clusterBindings, clusterBindings.Items)
	keep(s.bindings, bindings.Items)
	return s, nil
}

func keep[T any, P interface {
	*T
	metav1.Object
}](into map[string]P, items []T) {
	for i := range items {
		p := P(&items[i])
		into[key(p.GetNamespace(), p.GetName())] = p
	}
}

func key(namespace, name string) string { return namespace + "/" + name }

// reconcile makes one object right with the ecosystem's own reconciliation, which is given what was listed.
func reconcile(client kubernetes.Interface, have *snapshot, want runtime.Object) error {
	rbac := client.RbacV1()
	switch o := want.(type) {
	case *rbacv1.ClusterRole:
		return reconcileRole(reconciliation.ClusterRoleRuleOwner{ClusterRole: o},
			&roleClient{reconciliation.ClusterRoleModifier{Client: rbac.ClusterRoles()}, have})
	case *rbacv1.Role:
		return reconcileRole(reconciliation.RoleRuleOwner{Role: o},
			&roleClient{reconciliation.RoleModifier{Client: rbac, NamespaceClient: client.CoreV1().Namespaces()}, have})
	case *rbacv1.ClusterRoleBinding:
		return reconcileBinding(reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: o},
			&bindingClient{reconciliation.ClusterRoleBindingClientAdapter{Client: rbac.ClusterRoleBindings()}, have})
	case *rbacv1.RoleBinding:
		return reconcileBinding(reconciliation.RoleBindingAdapter{RoleBinding: o},
			&bindingClient{reconciliation.RoleBindingClientAdapter{Client: rbac, NamespaceClient: client.CoreV1().Namespaces()}, have})
	}
	return fmt.Errorf("%T is no role and no binding", want)
}

func reconcileRole(role reconciliation.RuleOwner, client *roleClient) error {
	o := reconciliation.ReconcileRoleOptions{Role: role, Confirm: true, Client: client}
	_, err := o.Run()
	return err
}

func reconcileBinding(binding reconciliation.RoleBinding, client *bindingClient) error {
	o := reconciliation.ReconcileRoleBindingOptions{RoleBinding: binding, Confirm: true, Client: client}
	_, err := o.Run()
	return err
}

// roleClient answers the first Get of a role from the snapshot, later ones from the server.
type roleClient struct {
	reconciliation.RuleOwnerModifier
	have *snapshot
}

// Get implements reconciliation.RuleOwnerModifier.
func (c *roleClient) Get(namespace, name string) (reconciliation.RuleOwner, error) {
	have := c.have
	c.have = nil
	if have == nil {
		return c.RuleOwnerModifier.Get(namespace, name)
	}
	if namespace == "" {
		if r := have.clusterRoles[key("", name)]; r != nil {
			return reconciliation.ClusterRoleRuleOwner{ClusterRole: r}, nil
		}
		return nil, apierrors.NewNotFound(rbacv1.Resource("clusterroles"), name)
	}
	if r := have.roles[key(namespace, name)]; r != nil {
		return reconciliation.RoleRuleOwner{Role: r}, nil
	}
	return nil, apierrors.NewNotFound(rbacv1.Resource("roles"), name)
}

// bindingClient does the same for bindings.
type bindingClient struct {
	reconciliation.RoleBindingModifier
	have *snapshot
}

// Get implements reconciliation.RoleBindingModifier.
func (c *bindingClient) Get(namespace, name string) (reconciliation.RoleBinding, error) {
	have := c.have
	c.have = nil
	if have == nil {
		return c.RoleBindingModifier.Get(namespace, name)
	}
	if namespace == "" {
		if b := have.clusterBindings[key("", name)]; b != nil {
			return reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: b}, nil
		}
		return nil, apierrors.NewNotFound(rbacv1.Resource("clusterrolebindings"), name)
	}
	if b := have.bindings[key(namespace, name)]; b != nil {
		return reconciliation.RoleBindingAdapter{RoleBinding: b}, nil
	}
	return nil, apierrors.NewNotFound(rbacv1.Resource("rolebindings"), name)
}
