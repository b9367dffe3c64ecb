package rbac

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"dhow/controller"
)

func writes(client *fake.Clientset) []string {
	var all []string
	for _, a := range client.Actions() {
		if !slices.Contains([]string{"get", "list", "watch"}, a.GetVerb()) {
			all = append(all, a.GetVerb()+" "+a.GetResource().Resource)
		}
	}
	client.ClearActions()
	return all
}

func TestReconcileWritesDifferencesOnly(t *testing.T) {
	client := fake.NewClientset()
	extra := []runtime.Object{clusterRole("system:controller:x", on("get", "core", "pods"))}
	if err := Reconcile(t.Context(), client, extra); err != nil {
		t.Fatal(err)
	}
	first := writes(client)
	if want := len(Defaults()) + len(extra); len(first) < want {
		t.Errorf("first start wrote %d objects, want at least %d", len(first), want)
	}
	began := time.Now()
	if err := Reconcile(t.Context(), client, extra); err != nil {
		t.Fatal(err)
	}
	t.Logf("second start: %v", time.Since(began))
	if again := writes(client); len(again) > 0 {
		t.Errorf("second start wrote %q, want nothing", again)
	}
	got, err := client.RbacV1().ClusterRoles().Get(t.Context(), "system:controller:x", metav1.GetOptions{})
	if err != nil || got.Annotations[rbacv1.AutoUpdateAnnotationKey] != "true" || got.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" {
		t.Errorf("extra role: %v %v, %v; want it marked as a default", got.Labels, got.Annotations, err)
	}
}

func TestReconcileRepairsAndKeepsAdditions(t *testing.T) {
	damaged := clusterRole("system:basic-user", on("create", "authorization.k8s.io", "selfsubjectaccessreviews"), on("get", "core", "nodes"))
	protected := bound("system:discovery")
	protected.Annotations = map[string]string{rbacv1.AutoUpdateAnnotationKey: "false"}
	client := fake.NewClientset(damaged, protected)
	if err := Reconcile(t.Context(), client, nil); err != nil {
		t.Fatal(err)
	}
	got, err := client.RbacV1().ClusterRoles().Get(t.Context(), damaged.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(damaged.Rules),
		on("create", "authorization.k8s.io", "selfsubjectrulesreviews"), on("create", "authentication.k8s.io", "selfsubjectreviews"))
	if len(got.Rules) != len(want) {
		t.Errorf("rules %v, want %v", got.Rules, want)
	}
	kept, err := client.RbacV1().ClusterRoleBindings().Get(t.Context(), protected.Name, metav1.GetOptions{})
	if err != nil || len(kept.Subjects) != 0 {
		t.Errorf("protected binding has subjects %v, %v; want none", kept.Subjects, err)
	}
}

func TestReconcileTreatsBindingsThatAreThereAsUpstream(t *testing.T) {
	protected := map[string]string{rbacv1.AutoUpdateAnnotationKey: "false"}
	proxy, other := username(user.KubeProxy), username("ann")
	for name, c := range map[string]struct {
		have *rbacv1.ClusterRoleBinding
		role string
		want []rbacv1.Subject
	}{
		"subjects beyond nobody stay": {bound("system:node", group(user.NodesGroup)), "system:node", []rbacv1.Subject{group(user.NodesGroup)}},
		"missing ones are added":      {bound("system:node-proxier", other), "system:node-proxier", []rbacv1.Subject{other, proxy}},
		"another role is replaced":    {boundTo("view", "system:node-proxier", nil, other), "system:node-proxier", []rbacv1.Subject{proxy}},
		"the protected stay":          {boundTo("view", "system:node-proxier", protected, other), "view", []rbacv1.Subject{other}},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(c.have)
			if err := Reconcile(t.Context(), client, nil); err != nil {
				t.Fatal(err)
			}
			got, err := client.RbacV1().ClusterRoleBindings().Get(t.Context(), c.have.Name, metav1.GetOptions{})
			if err != nil || got.RoleRef.Name != c.role || !slices.Equal(got.Subjects, c.want) {
				t.Errorf("role %s of %v, %v; want %s of %v", got.RoleRef.Name, got.Subjects, err, c.role, c.want)
			}
		})
	}
}

func TestAwaitEndsWhenTheAuthorizerKnowsRoleAndBinding(t *testing.T) {
	role, binding := clusterRole("x", on("get", "core", "pods")), bound("x", username("ann"))
	client := fake.NewClientset(role)
	factory := informers.NewSharedInformerFactory(client, 0)
	a, err := NewAuthorizer(factory)
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Await(soon, []runtime.Object{role, binding}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without the binding: %v", err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	later, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Await(later, []runtime.Object{role, binding}); err != nil {
		t.Error(err)
	}
}

func boundTo(role, name string, annotations map[string]string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	b := bound(name, subjects...)
	b.RoleRef.Name, b.Annotations = role, annotations
	return b
}

func TestDefaultsLetPartsDoTheirWork(t *testing.T) {
	objects := Defaults()
	preAggregate(objects)
	a := authorizerOver(t, append(objects, boundAs("admin", "web", "ann"), boundAs("view", "web", "eve"))...)
	everybody := []string{user.AllAuthenticated}
	for _, c := range []struct {
		user   string
		groups []string
		verb   string
		group  string
		on     string
		sub    string
		want   authorizer.Decision
	}{
		{"system:node:a", []string{user.NodesGroup}, "patch", "", "pods", "status", authorizer.DecisionNoOpinion}, // the node authorizer's to allow
		{"system:node:a", []string{user.NodesGroup}, "delete", "", "nodes", "", authorizer.DecisionNoOpinion},
		{"system:kube-scheduler", everybody, "create", "", "pods", "binding", authorizer.DecisionAllow},
		{"system:kube-proxy", everybody, "watch", "discovery.k8s.io", "endpointslices", "", authorizer.DecisionAllow},
		{CoreDNSUser, everybody, "watch", "", "pods", "", authorizer.DecisionAllow},
		{CoreDNSUser, everybody, "get", "", "secrets", "", authorizer.DecisionNoOpinion},
		{"ann", everybody, "delete", "apps", "deployments", "", authorizer.DecisionAllow},
		{"ann", everybody, "get", "", "pods", "log", authorizer.DecisionAllow},
		{"eve", everybody, "get", "", "pods", "log", authorizer.DecisionAllow},
		{"eve", everybody, "get", "", "secrets", "", authorizer.DecisionNoOpinion},
		{"eve", everybody, "create", "authentication.k8s.io", "selfsubjectreviews", "", authorizer.DecisionAllow},
	} {
		got, reason, err := a.Authorize(t.Context(), authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: c.user, Groups: c.groups}, Verb: c.verb, Namespace: "web",
			APIGroup: c.group, Resource: c.on, Subresource: c.sub, ResourceRequest: true,
		})
		if got != c.want || err != nil {
			t.Errorf("%s %s %s/%s: %v %q %v, want %v", c.user, c.verb, c.on, c.sub, got, reason, err, c.want)
		}
	}
}

func boundAs(role, namespace, user string) *rbacv1.RoleBinding {
	b := boundIn(namespace, role+"-"+user, role, username(user))
	b.RoleRef.Kind = "ClusterRole"
	return b
}

func TestAggregationFollowsLabels(t *testing.T) {
	view := gathers(clusterRole("view"))
	client := fake.NewClientset(view, joins("view", clusterRole("b", on("get", "core", "pods"))),
		joins("view", clusterRole("a", on("get", "x.io", "things"), on("get", "core", "pods"))), clusterRole("other", on("*", "*", "*")))
	factory := informers.NewSharedInformerFactory(client, 0)
	c := AggregationController()
	env := controller.Env{Client: client, Informers: factory}
	r := c.New(env)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	keys := c.Reads[0].Keys(env, nil, nil)
	if len(keys) != 1 || keys[0].Name != "view" {
		t.Fatalf("keys %v, want view alone", keys)
	}
	if _, err := r.Reconcile(t.Context(), types.NamespacedName{Name: "view"}); err != nil {
		t.Fatal(err)
	}
	got, err := client.RbacV1().ClusterRoles().Get(t.Context(), "view", metav1.GetOptions{})
	if err != nil || len(got.Rules) != 2 || got.Rules[0].Resources[0] != "things" || got.Rules[1].Resources[0] != "pods" {
		t.Errorf("rules %v, %v; want things, then pods", got.Rules, err)
	}
}
