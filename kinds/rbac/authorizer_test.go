package rbac

import (
	"context"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// authorizerOver runs an authorizer over objects.
func authorizerOver(t testing.TB, objects ...runtime.Object) *Authorizer {
	t.Helper()
	factory := informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	a, err := NewAuthorizer(factory)
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	return a
}

func podReader() []runtime.Object {
	return []runtime.Object{
		role("web", "reader", on(read, "core", "pods pods/log"), on("get", "core", "configmaps", "motd")),
		clusterRole("scaler", on("update", "apps", "*/scale"), at("get", "/metrics /logs/*")),
		boundIn("web", "readers", "reader", username("ann"), rbacv1.Subject{Kind: "ServiceAccount", Name: "robot"}),
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "scalers"}, Subjects: []rbacv1.Subject{group("ops")},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "scaler"},
		},
	}
}

func TestAuthorizeAllowsWhatRulesSay(t *testing.T) {
	a := authorizerOver(t, podReader()...)
	ann := &user.DefaultInfo{Name: "ann"}
	ops := &user.DefaultInfo{Name: "bob", Groups: []string{"ops", "ops"}}
	robot := &user.DefaultInfo{Name: "system:serviceaccount:web:robot"}
	pods := func(u user.Info, verb, namespace, sub string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: u, Verb: verb, Namespace: namespace, Resource: "pods", Subresource: sub, ResourceRequest: true}
	}
	named := func(name string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: ann, Verb: "get", Namespace: "web", Resource: "configmaps", Name: name, ResourceRequest: true}
	}
	scale := func(sub string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: ops, Verb: "update", Namespace: "x", APIGroup: "apps", Resource: "deployments", Subresource: sub, ResourceRequest: true}
	}
	path := func(u user.Info, p string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: u, Verb: "get", Path: p}
	}
	for _, c := range []struct {
		name   string
		in     authorizer.Attributes
		reason string // empty: no opinion
	}{
		{"user in the role's namespace", pods(ann, "list", "web", ""), `RBAC: allowed by RoleBinding "readers/web" of Role "reader" to User "ann"`},
		{"subresource that is named", pods(ann, "get", "web", "log"), `RBAC: allowed by RoleBinding "readers/web" of Role "reader" to User "ann"`},
		{"service account without a namespace is of the binding's", pods(robot, "get", "web", ""), `RBAC: allowed by RoleBinding "readers/web" of Role "reader" to ServiceAccount "robot/web"`},
		{"subresource that is not named", pods(ann, "get", "web", "exec"), ""},
		{"other verb", pods(ann, "delete", "web", ""), ""},
		{"other namespace", pods(ann, "get", "db", ""), ""},
		{"cluster-wide", pods(ann, "get", "", ""), ""},
		{"other user", pods(ops, "get", "web", ""), ""},
		{"resource name", named("motd"), `RBAC: allowed by RoleBinding "readers/web" of Role "reader" to User "ann"`},
		{"other resource name", named("secret"), ""},
		{"any resource's subresource", scale("scale"), `RBAC: allowed by ClusterRoleBinding "scalers" of ClusterRole "scaler" to Group "ops"`},
		{"the resource itself is not its subresource", scale(""), ""},
		{"path", path(ops, "/metrics"), `RBAC: allowed by ClusterRoleBinding "scalers" of ClusterRole "scaler" to Group "ops"`},
		{"path below", path(ops, "/logs/a/b"), `RBAC: allowed by ClusterRoleBinding "scalers" of ClusterRole "scaler" to Group "ops"`},
		{"other path", path(ops, "/metricsx"), ""},
		{"no user", path(nil, "/metrics"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := authorizer.DecisionNoOpinion
			if c.reason != "" {
				want = authorizer.DecisionAllow
			}
			decision, reason, err := a.Authorize(t.Context(), c.in)
			if decision != want || reason != c.reason || err != nil {
				t.Errorf("got %v, %q, %v; want %v, %q", decision, reason, err, want, c.reason)
			}
		})
	}
}

func TestABindingToAMissingRoleIsNamedInTheReason(t *testing.T) {
	a := authorizerOver(t, bound("gone", username("ann")))
	_, reason, _ := a.Authorize(t.Context(), authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "ann"}, Verb: "get", Path: "/"})
	if want := `RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found`; reason != want {
		t.Errorf("reason %q, want %q", reason, want)
	}
}

func TestRulesForListsWhatAUserMay(t *testing.T) {
	a := authorizerOver(t, podReader()...)
	resources, urls, incomplete, err := a.RulesFor(t.Context(), &user.DefaultInfo{Name: "ann", Groups: []string{"ops"}}, "web")
	if len(resources) != 3 || len(urls) != 1 || incomplete || err != nil {
		t.Errorf("got %d resource rules, %d path rules, %v, %v; want 3, 1, false, nil", len(resources), len(urls), incomplete, err)
	}
}

func TestGuardRefusesEscalation(t *testing.T) {
	objects := append(podReader(), clusterRole("cluster-admin", everything()...), bound("cluster-admin", group("admins")),
		role("web", "grantor", on("bind", rbacv1.GroupName, "roles", "secretive"), on("escalate", rbacv1.GroupName, "roles")),
		role("web", "secretive", on("get", "core", "secrets")), boundIn("web", "grantors", "grantor", username("joe")))
	a := authorizerOver(t, objects...)
	store := &genericregistry.Store{DefaultQualifiedResource: rbacv1.Resource("roles")}
	a.Guard(store, nil)
	as := func(name string, groups ...string) context.Context {
		ctx := request.WithUser(t.Context(), &user.DefaultInfo{Name: name, Groups: groups})
		ctx = request.WithNamespace(ctx, "web")
		return request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, APIGroup: rbacv1.GroupName, Resource: "roles", Namespace: "web"})
	}
	secrets := role("web", "r", on("get list", "core", "secrets"))
	binding := boundIn("web", "b", "secretive", username("eve"))
	for _, c := range []struct {
		name string
		ctx  context.Context
		obj  runtime.Object
		want string
	}{
		{"member of system:masters", as("root", "system:masters"), secrets, ""},
		{"one who has everything", as("max", "admins"), secrets, ""},
		{"one who has the same rights", as("ann"), role("web", "r", on("get", "core", "pods")), ""},
		{"one who may escalate", as("joe"), secrets, ""},
		{"one who may bind", as("joe"), binding, ""},
		{"a role with more rights", as("ann"), secrets, `roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=[]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`},
		{"a binding to more rights", as("ann"), binding, `roles.rbac.authorization.k8s.io "b" is forbidden: user "ann" (groups=[]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`},
		{"an aggregated role", as("ann"), gathers(clusterRole("all")), `roles.rbac.authorization.k8s.io "all" is forbidden: must have cluster-admin privileges to use the aggregationRule`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := store.BeginCreate(c.ctx, c.obj, nil)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	t.Run("the garbage collector may change owners and finalizers", func(t *testing.T) {
		changed := secrets.DeepCopy()
		changed.Finalizers = []string{"orphan"}
		if _, err := store.BeginUpdate(as("gc"), changed, secrets, nil); err != nil {
			t.Error(err)
		}
		changed.Labels = map[string]string{"a": "b"}
		if _, err := store.BeginUpdate(as("gc"), changed, secrets, nil); err == nil || !strings.Contains(err.Error(), "attempting to grant") {
			t.Errorf("a changed label: %v", err)
		}
	})
}

func BenchmarkAuthorize(b *testing.B) {
	objects := Defaults()
	preAggregate(objects)
	a := authorizerOver(b, objects...)
	u := &user.DefaultInfo{Name: "system:kube-scheduler", Groups: []string{"system:authenticated"}}
	in := authorizer.AttributesRecord{User: u, Verb: "create", Namespace: "web", Resource: "pods", Subresource: "binding", ResourceRequest: true}
	for b.Loop() {
		if d, _, _ := a.Authorize(b.Context(), in); d != authorizer.DecisionAllow {
			b.Fatal(d)
		}
	}
}
