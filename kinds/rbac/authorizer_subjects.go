package rbac

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// bySubject is the index of bindings by the keys of subjectKey.
const bySubject = "dhow.subject"

// subjectKey is a user or group as bindings of a namespace name it; a service account is a user by then.
func subjectKey(namespace, kind, name string) string {
	return namespace + "\x00" + kind + "\x00" + name
}

// subjectKeys is the index function over both kinds of bindings.
func subjectKeys(obj any) ([]string, error) {
	namespace, subjects, _ := partsOf(obj)
	keys := make([]string, 0, len(subjects))
	for i := range subjects {
		if key := keyOfSubject(&subjects[i], namespace); key != "" {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// keyOfSubject is empty for a subject that no request can match.
func keyOfSubject(s *rbacv1.Subject, namespace string) string {
	switch s.Kind {
	case rbacv1.UserKind, rbacv1.GroupKind:
		return subjectKey(namespace, s.Kind, s.Name)
	case rbacv1.ServiceAccountKind:
		home := s.Namespace
		if home == "" {
			home = namespace
		}
		if home == "" {
			return ""
		}
		return subjectKey(namespace, rbacv1.UserKind, serviceaccount.MakeUsername(home, s.Name))
	}
	return ""
}

func partsOf(binding any) (namespace string, subjects []rbacv1.Subject, role rbacv1.RoleRef) {
	switch b := binding.(type) {
	case *rbacv1.ClusterRoleBinding:
		return "", b.Subjects, b.RoleRef
	case *rbacv1.RoleBinding:
		return b.Namespace, b.Subjects, b.RoleRef
	}
	return "", nil, rbacv1.RoleRef{}
}

// grant is a binding and the subject by which it applies to a user.
type grant struct {
	binding any
	role    rbacv1.RoleRef
	subject *rbacv1.Subject
}

func grantOf(binding any, key, namespace string) *grant {
	_, subjects, role := partsOf(binding)
	for i := range subjects {
		if keyOfSubject(&subjects[i], namespace) == key {
			return &grant{binding, role, &subjects[i]}
		}
	}
	return &grant{binding, role, &rbacv1.Subject{}}
}

// String is what a reason and an audit event say, in upstream's words and upstream's order (name before namespace).
func (g *grant) String() string {
	name, kind, namespace := "", "ClusterRoleBinding", ""
	switch b := g.binding.(type) {
	case *rbacv1.ClusterRoleBinding:
		name = b.Name
	case *rbacv1.RoleBinding:
		name, kind, namespace = b.Name+"/"+b.Namespace, "RoleBinding", b.Namespace
	}
	subject := g.subject.Name
	if g.subject.Kind == rbacv1.ServiceAccountKind {
		if g.subject.Namespace != "" {
			namespace = g.subject.Namespace
		}
		subject += "/" + namespace
	}
	return fmt.Sprintf("%s %q of %s %q to %s %q", kind, name, g.role.Kind, g.role.Name, g.subject.Kind, subject)
}
