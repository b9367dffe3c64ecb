package rbac

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

func bindingOf(t *testing.T, text string) *rbacv1.RoleBinding {
	t.Helper()
	b := &rbacv1.RoleBinding{}
	if err := yaml.UnmarshalStrict([]byte(text), b); err != nil {
		t.Fatal(err)
	}
	defaultBinding(&b.RoleRef, b.Subjects)
	return b
}

func messages(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func TestBindingSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	for name, c := range map[string]struct {
		binding string
		want    []string
	}{
		"good": {`{roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: d}]}`, nil},
		"kind of role": {`{roleRef: {kind: Rule, name: r}}`, []string{
			`roleRef.kind: Unsupported value: "Rule": supported values: "ClusterRole", "Role"`}},
		"no name": {`{roleRef: {kind: Role}}`, []string{`roleRef.name: Required value`}},
		"subject": {`{roleRef: {kind: Role, name: r}, subjects: [{kind: Person, name: u}]}`, []string{
			`subjects[0].kind: Unsupported value: "Person": supported values: "ServiceAccount", "User", "Group"`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := messages(validateRoleBinding(t.Context(), bindingOf(t, c.binding))); !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestRoleRefIsImmutable(t *testing.T) {
	old, now := bindingOf(t, `{roleRef: {kind: Role, name: r}}`), bindingOf(t, `{roleRef: {kind: Role, name: s}}`)
	want := []string{`roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"s"}: cannot change roleRef`}
	if got := messages(validateRoleBindingUpdate(t.Context(), now, old)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestRulesOfRoles(t *testing.T) {
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{}, {Verbs: []string{"get"}, NonResourceURLs: []string{"/x"}}}}
	want := []string{
		"rules[0].verbs: Required value: verbs must contain at least one value",
		"rules[0].apiGroups: Required value: resource rules must supply at least one api group",
		"rules[0].resources: Required value: resource rules must supply at least one resource",
		`rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs`,
	}
	if got := messages(validateRole(t.Context(), role)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestBindingColumns(t *testing.T) {
	b := bindingOf(t, `{roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: Group, name: g}, {kind: ServiceAccount, name: s, namespace: d}]}`)
	want := []any{"Role/r", "<unknown>", "u", "g", "d/s"}
	if got := bindingCells(b.RoleRef, b.Subjects, b.CreationTimestamp); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
