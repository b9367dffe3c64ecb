package node

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

func TestNewNodesAreTaintedNotReadyOnce(t *testing.T) {
	n := &corev1.Node{}
	for range 2 {
		if err := admittest.Run(t, TaintNodesByCondition(), admittest.Request{Object: n, Resource: "nodes"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.Spec.Taints) != 1 || n.Spec.Taints[0] != (corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: "NoSchedule"}) {
		t.Errorf("taints %+v", n.Spec.Taints)
	}
}

var (
	nodeA = &user.DefaultInfo{Name: "system:node:a", Groups: []string{user.NodesGroup}}
	human = &user.DefaultInfo{Name: "h", Groups: []string{user.AllAuthenticated}}
)

func restricted(t *testing.T) admission.Interface {
	t.Helper()
	f := informers.NewSharedInformerFactory(nil, 0)
	plugin := Restriction(f)
	f.Core().V1().Nodes().Informer().GetIndexer().Add(admittest.YAML[corev1.Node](t, `{metadata: {name: a, uid: u}}`))
	for _, text := range []string{
		`{metadata: {namespace: ns, name: mine, uid: p}, spec: {nodeName: a, volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}}`,
		`{metadata: {namespace: ns, name: other, uid: o}, spec: {nodeName: b}}`,
	} {
		f.Core().V1().Pods().Informer().GetIndexer().Add(admittest.YAML[corev1.Pod](t, text))
	}
	return plugin
}

func TestNodesChangeOnlyTheirOwnNode(t *testing.T) {
	plugin := restricted(t)
	for name, c := range map[string]struct {
		who      user.Info
		old, now string
		want     string
	}{
		"own":          {nodeA, "", `{metadata: {name: a, labels: {kubernetes.io/hostname: a, own: x, node.kubernetes.io/x: y}}, spec: {taints: [{key: a, effect: NoSchedule}]}}`, ""},
		"other's":      {nodeA, "", `{metadata: {name: b}}`, `node "a" is not allowed to modify node "b"`},
		"human":        {human, "", `{metadata: {name: b, labels: {kubernetes.io/x: y}}}`, ""},
		"role label":   {nodeA, "", `{metadata: {name: a, labels: {node-role.kubernetes.io/master: ""}}}`, `node "a" is not allowed to set the following labels: node-role.kubernetes.io/master`},
		"restriction":  {nodeA, `{metadata: {name: a}}`, `{metadata: {name: a, labels: {node-restriction.kubernetes.io/x: ""}}}`, `is not allowed to modify labels: node-restriction.kubernetes.io/x`},
		"label gone":   {nodeA, `{metadata: {name: a, labels: {x.k8s.io/y: z}}}`, `{metadata: {name: a}}`, `is not allowed to modify labels: x.k8s.io/y`},
		"taints":       {nodeA, `{metadata: {name: a}, spec: {taints: [{key: a, effect: NoSchedule}]}}`, `{metadata: {name: a}}`, `node "a" is not allowed to modify taints`},
		"stale":        {nodeA, `{metadata: {name: a, resourceVersion: "2"}}`, `{metadata: {name: a, resourceVersion: "1"}, spec: {taints: [{key: a, effect: NoSchedule}]}}`, ""},
		"status":       {nodeA, `{metadata: {name: a}}`, `{metadata: {name: a}, status: {phase: Running}}`, ""},
		"nameless":     {&user.DefaultInfo{Name: "system:node:", Groups: nodeA.Groups}, "", `{metadata: {name: b}}`, `could not determine node from user "system:node:"`},
		"not in group": {&user.DefaultInfo{Name: "system:node:a"}, "", `{metadata: {name: b}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := admittest.Request{Object: admittest.YAML[corev1.Node](t, c.now), Resource: "nodes", User: c.who}
			if c.old != "" {
				r.Old, r.Operation = admittest.YAML[corev1.Node](t, c.old), admission.Update
			}
			admittest.Check(t, admittest.Run(t, plugin, r), c.want)
		})
	}
}

func TestNodesTouchOnlyTheirOwnPods(t *testing.T) {
	plugin := restricted(t)
	pod := func(text string) runtime.Object { return admittest.YAML[corev1.Pod](t, text) }
	const owner = `ownerReferences: [{apiVersion: v1, kind: Node, name: a, uid: u, controller: true}]`
	const mirror = `{metadata: {namespace: ns, name: m, annotations: {kubernetes.io/config.mirror: x}, ` + owner + `}, spec: {nodeName: a`
	for name, c := range map[string]struct {
		r    admittest.Request
		want string
	}{
		"ordinary pod":  {admittest.Request{Object: pod(`{metadata: {namespace: ns, name: m}}`)}, `pod does not have "kubernetes.io/config.mirror" annotation, node "a" can only create mirror pods`},
		"mirror":        {admittest.Request{Object: pod(mirror + `, volumes: [{name: v, hostPath: {path: /}}]}}`)}, ""},
		"mirror's map":  {admittest.Request{Object: pod(mirror + `, volumes: [{name: v, configMap: {name: m}}]}}`)}, `node "a" can not create pods that reference configmaps`},
		"mirror's node": {admittest.Request{Object: pod(`{metadata: {namespace: ns, name: m, annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: b}}`)}, `node "a" can only create pods with spec.nodeName set to itself`},
		"delete own":    {admittest.Request{Operation: admission.Delete, Old: pod(`{metadata: {namespace: ns, name: mine}}`)}, ""},
		"delete other":  {admittest.Request{Operation: admission.Delete, Old: pod(`{metadata: {namespace: ns, name: other}}`)}, `node "a" can only delete pods with spec.nodeName set to itself`},
		"delete gone":   {admittest.Request{Operation: admission.Delete, Old: pod(`{metadata: {namespace: ns, name: gone}}`)}, `"gone" not found`},
		"update":        {admittest.Request{Operation: admission.Update, Old: pod(mirror + `}}`), Object: pod(mirror + `}}`)}, `unexpected operation "UPDATE", node "a" can only create and delete mirror pods`},
		"status":        {admittest.Request{Operation: admission.Update, Subresource: "status", Old: pod(`{spec: {nodeName: a}}`), Object: pod(`{spec: {nodeName: a}, status: {phase: Running}}`)}, ""},
		"status other":  {admittest.Request{Operation: admission.Update, Subresource: "status", Old: pod(`{spec: {nodeName: b}}`), Object: pod(`{spec: {nodeName: a}}`)}, `node "a" can only update pod status for pods with spec.nodeName set to itself`},
		"status labels": {admittest.Request{Operation: admission.Update, Subresource: "status", Old: pod(`{spec: {nodeName: a}}`), Object: pod(`{metadata: {labels: {a: b}}}`)}, `node "a" cannot update labels through pod status`},
		"exec":          {admittest.Request{Operation: admission.Connect, Subresource: "exec"}, ""},
		"binding":       {admittest.Request{Subresource: "binding"}, `unexpected pod subresource "binding", only 'status' and 'eviction' are allowed`},
		"evict":         {admittest.Request{Subresource: "eviction", Object: admittest.YAML[policyv1.Eviction](t, `{metadata: {namespace: ns, name: other}}`)}, `node a can only evict pods with spec.nodeName set to itself`},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.Resource, c.r.User = "pods", nodeA
			admittest.Check(t, admittest.Run(t, plugin, c.r), c.want)
		})
	}
}

func TestNodesGetTokensOnlyForTheirOwnPods(t *testing.T) {
	plugin := restricted(t)
	for name, c := range map[string]struct{ spec, want string }{
		"own":            {`{boundObjectRef: {apiVersion: v1, kind: Pod, name: mine, uid: p}}`, ""},
		"unbound":        {`{}`, "node requested token not bound to a pod"},
		"without uid":    {`{boundObjectRef: {apiVersion: v1, kind: Pod, name: mine}}`, "node requested token with a pod binding without a uid"},
		"earlier pod":    {`{boundObjectRef: {apiVersion: v1, kind: Pod, name: mine, uid: q}}`, "the UID in the bound object reference (q) does not match the UID in record. The object might have been deleted and then recreated"},
		"other node's":   {`{boundObjectRef: {apiVersion: v1, kind: Pod, name: other, uid: o}}`, "node requested token bound to a pod scheduled on a different node"},
		"other audience": {`{audiences: [x], boundObjectRef: {apiVersion: v1, kind: Pod, name: mine, uid: p}}`, `audience "x" not found in pod spec volume, system:node:a is not authorized to request tokens for this audience`},
	} {
		t.Run(name, func(t *testing.T) {
			request := admittest.YAML[authenticationv1.TokenRequest](t, `{metadata: {namespace: ns}, spec: `+c.spec+`}`)
			err := admittest.Run(t, plugin, admittest.Request{Object: request, Resource: "serviceaccounts", Subresource: "token", Name: "default", User: nodeA})
			admittest.Check(t, err, c.want)
		})
	}
}

func TestNodesKeepOnlyTheirOwnLease(t *testing.T) {
	plugin := restricted(t)
	for name, c := range map[string]struct{ namespace, lease, want string }{
		"own":       {"kube-node-lease", "a", ""},
		"other's":   {"kube-node-lease", "b", "can only access node lease with the same name as the requesting node"},
		"elsewhere": {"default", "a", `can only access leases in the "kube-node-lease" system namespace`},
	} {
		t.Run(name, func(t *testing.T) {
			lease := &coordinationv1.Lease{}
			lease.Namespace, lease.Name = c.namespace, c.lease
			for _, op := range []admission.Operation{admission.Create, admission.Update} {
				r := admittest.Request{Operation: op, Object: lease, Old: lease, Group: "coordination.k8s.io", Resource: "leases", User: nodeA}
				admittest.Check(t, admittest.Run(t, plugin, r), c.want)
			}
		})
	}
}
