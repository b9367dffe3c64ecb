package controller

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Roles are the ClusterRole of each controller, with what it declares and no more, and its binding.
func Roles(controllers []Controller) ([]runtime.Object, error) {
	var all []runtime.Object
	for _, c := range controllers {
		rules, err := rulesOf(c)
		if err != nil {
			return nil, fmt.Errorf("controller %s: %w", c.Name, err)
		}
		name := User(c.Name)
		all = append(all,
			&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
			&rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
			})
	}
	return all, nil
}

func rulesOf(c Controller) ([]rbacv1.PolicyRule, error) {
	var rules []rbacv1.PolicyRule
	for _, read := range c.Reads {
		resource, err := resourceOf(read.Object)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{resource.Group}, Resources: []string{resource.Resource}, Verbs: []string{"get", "list", "watch"}})
	}
	for _, w := range c.Writes {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{w.Group}, Resources: w.Resources, Verbs: w.Verbs, ResourceNames: w.Names})
	}
	return append(rules, rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}}), nil
}

// Graph draws which controller reads and writes what, in Mermaid's language.
func Graph(controllers []Controller) (string, error) {
	var lines []string
	for _, c := range controllers {
		for _, read := range c.Reads {
			resource, err := resourceOf(read.Object)
			if err != nil {
				return "", fmt.Errorf("controller %s: %w", c.Name, err)
			}
			lines = append(lines, fmt.Sprintf("  %s([%s]) --> %s", resource.Resource, resource.Resource, c.Name))
		}
		for _, w := range c.Writes {
			for _, resource := range w.Resources {
				kind, _, _ := strings.Cut(resource, "/")
				lines = append(lines, fmt.Sprintf("  %s --> %s([%s])", c.Name, kind, kind))
			}
		}
	}
	slices.Sort(lines)
	return "flowchart LR\n" + strings.Join(slices.Compact(lines), "\n") + "\n", nil
}
