package controller

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

func TestDeletionThatTheWatchMissedIsReconciled(t *testing.T) {
	l := &loop{queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]())}
	defer l.queue.ShutDown()
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = "ns", "p"
	l.handler(Read{}).OnDelete(cache.DeletedFinalStateUnknown{Key: "ns/p", Obj: pod})
	if l.queue.Len() != 1 {
		t.Fatal("nothing is queued")
	}
	if key, _ := l.queue.Get(); key.String() != "ns/p" {
		t.Errorf("key %s", key)
	}
}

func TestResourcesOfKinds(t *testing.T) {
	for want, example := range map[string]runtime.Object{
		"endpoints": &corev1.Endpoints{}, "endpointslices": &discoveryv1.EndpointSlice{}, "networkpolicies": &networkingv1.NetworkPolicy{},
		"ingressclasses": &networkingv1.IngressClass{}, "replicasets": &appsv1.ReplicaSet{},
	} {
		if got, err := resourceOf(example); err != nil || got.Resource != want {
			t.Errorf("%T is %q, want %q (%v)", example, got.Resource, want, err)
		}
	}
}

// fleet reads Deployments and pods, and writes pods and the status of Deployments.
var fleet = Controller{
	Name:  "fleet",
	Reads: []Read{{Object: &appsv1.Deployment{}}, {Object: &corev1.Pod{}}},
	Writes: []Write{
		{Resources: []string{"pods"}, Verbs: []string{"create"}},
		{Group: "apps", Resources: []string{"deployments/status"}, Verbs: []string{"update"}},
	},
}

func TestRoleAllowsWhatIsDeclared(t *testing.T) {
	objects, err := Roles([]Controller{fleet})
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	role, binding := objects[0].(*rbacv1.ClusterRole), objects[1].(*rbacv1.ClusterRoleBinding)
	if role.Name != "system:controller:fleet" || binding.RoleRef.Name != role.Name || binding.Subjects[0].Name != role.Name || binding.Subjects[0].Kind != "User" {
		t.Errorf("role %s, binding %+v", role.Name, binding)
	}
	read := []string{"get", "list", "watch"}
	for _, want := range []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: read},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: read},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments/status"}, Verbs: []string{"update"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}},
	} {
		if !slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Equal(r.APIGroups, want.APIGroups) && slices.Equal(r.Resources, want.Resources) && slices.Equal(r.Verbs, want.Verbs)
		}) {
			t.Errorf("no rule %v", want)
		}
	}
	if len(role.Rules) != 5 {
		t.Errorf("%d rules", len(role.Rules))
	}
}

func TestGraphShowsWhoReadsAndWritesWhat(t *testing.T) {
	got, err := Graph([]Controller{fleet})
	if err != nil {
		t.Fatal(err)
	}
	want := `flowchart LR
  deployments([deployments]) --> fleet
  fleet --> deployments([deployments])
  fleet --> pods([pods])
  pods([pods]) --> fleet
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
