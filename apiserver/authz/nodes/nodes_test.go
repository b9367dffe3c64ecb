package nodes

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// world is what exists: pods of two nodes, and what they lead to.
const world = `
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: web}, spec: {nodeName: a, serviceAccountName: sa,
  imagePullSecrets: [{name: pull}],
  containers: [{name: c, image: i, envFrom: [{secretRef: {name: env}}, {configMapRef: {name: config}}]}],
  ephemeralContainers: [{name: e, image: i, env: [{name: X, valueFrom: {secretKeyRef: {name: debug, key: k}}}]}],
  resourceClaims: [{name: named, resourceClaimName: gpu}, {name: made, resourceClaimTemplateName: t}],
  volumes: [{name: v, secret: {secretName: vol}}, {name: d, persistentVolumeClaim: {claimName: data}},
    {name: g, ephemeral: {volumeClaimTemplate: {}}}, {name: j, projected: {sources: [{secret: {name: joined}}]}}]},
  status: {resourceClaimStatuses: [{name: made, resourceClaimName: p-made-x}, {name: stray, resourceClaimName: stray}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: q, namespace: web}, spec: {nodeName: b, serviceAccountName: other,
  containers: [{name: c, image: i}], volumes: [{name: v, secret: {secretName: theirs}}, {name: d, persistentVolumeClaim: {claimName: away}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: mirror, namespace: kube-system, annotations: {kubernetes.io/config.mirror: x}},
  spec: {nodeName: a, serviceAccountName: admin, containers: [{name: c, image: i}], volumes: [{name: v, secret: {secretName: stolen}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: waiting, namespace: web}, spec: {serviceAccountName: unbound, containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: disk}, spec: {claimRef: {namespace: web, name: data}, csi: {driver: d, volumeHandle: h,
  nodeStageSecretRef: {namespace: storage, name: stage}, controllerExpandSecretRef: {namespace: storage, name: controller}}}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: far}, spec: {claimRef: {namespace: web, name: away}, csi: {driver: d, volumeHandle: h,
  nodeStageSecretRef: {namespace: storage, name: far}}}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: free}, spec: {csi: {driver: d, volumeHandle: h}}}
---
{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: at-a}, spec: {nodeName: a}}
---
{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: at-b}, spec: {nodeName: b}}
---
{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: slice-a}, spec: {nodeName: a, driver: d, pool: {name: p}}}
---
{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: slice-b}, spec: {nodeName: b, driver: d, pool: {name: p}}}
---
{apiVersion: certificates.k8s.io/v1, kind: PodCertificateRequest, metadata: {name: cert-a, namespace: web}, spec: {nodeName: a}}
`

func objects(t *testing.T) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for text := range strings.SplitSeq(world, "\n---\n") {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		obj, _, err := clientscheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, obj)
	}
	return all
}

func started(t *testing.T) *Authorizer {
	t.Helper()
	f := informers.NewSharedInformerFactory(fake.NewClientset(objects(t)...), 0)
	a, err := New(f, func(r authorizer.Attributes) bool { return r.GetResource() == "events" && r.GetVerb() == "create" })
	if err != nil {
		t.Fatal(err)
	}
	f.Start(t.Context().Done())
	f.WaitForCacheSync(t.Context().Done())
	return a
}

// ask reads "verb group/resource/subresource namespace/name [field selector]".
func ask(t *testing.T, u user.Info, question string) authorizer.AttributesRecord {
	t.Helper()
	words := strings.Fields(question)
	kind := strings.SplitN(words[1], "/", 3)
	r := authorizer.AttributesRecord{User: u, Verb: words[0], ResourceRequest: true, APIGroup: kind[0], Resource: kind[1]}
	if len(kind) > 2 {
		r.Subresource = kind[2]
	}
	if len(words) > 2 {
		r.Namespace, r.Name, _ = strings.Cut(words[2], "/")
	}
	if len(words) > 3 {
		selector, err := fields.ParseSelector(words[3])
		if err != nil {
			t.Fatal(err)
		}
		r.FieldSelectorRequirements = selector.Requirements()
	}
	return r
}

func TestNodesMayTouchTheirOwnOnly(t *testing.T) {
	a := started(t)
	node := &user.DefaultInfo{Name: "system:node:a", Groups: []string{user.NodesGroup, user.AllAuthenticated}}
	for kind, questions := range map[string][]string{
		"allowed": {
			"get /secrets web/vol", "list /secrets web/vol", "watch /secrets web/env", "get /secrets web/pull", "get /secrets web/debug",
			"get /secrets web/joined", "get /secrets storage/stage",
			"get /configmaps web/config", "get /persistentvolumeclaims web/data", "get /persistentvolumeclaims web/p-g",
			"patch /persistentvolumeclaims/status web/data", "get /persistentvolumes /disk",
			"get /serviceaccounts web/sa", "create /serviceaccounts/token web/sa",
			"get resource.k8s.io/resourceclaims web/gpu", "get resource.k8s.io/resourceclaims web/p-made-x",
			"get storage.k8s.io/volumeattachments /at-a",
			"get /pods web/p", "get /pods kube-system/mirror", "list /pods / spec.nodeName=a", "watch /pods web/p",
			"create /pods kube-system/new", "delete /pods web/p", "patch /pods/status web/p", "create /pods/eviction web/p",
			"get /nodes /a", "watch /nodes /a", "create /nodes", "patch /nodes/status /a",
			"update coordination.k8s.io/leases kube-node-lease/a", "create coordination.k8s.io/leases kube-node-lease/",
			"get storage.k8s.io/csinodes /a", "create storage.k8s.io/csinodes",
			"create resource.k8s.io/resourceslices", "update resource.k8s.io/resourceslices /slice-a",
			"deletecollection resource.k8s.io/resourceslices / spec.nodeName=a",
			"create certificates.k8s.io/podcertificaterequests web/", "get certificates.k8s.io/podcertificaterequests web/cert-a",
			"list certificates.k8s.io/podcertificaterequests / spec.nodeName=a",
			"create /events web/",
		},
		"refused": {
			"get /secrets web/theirs", "get /secrets web/unknown", "list /secrets web/", "list /secrets", "watch /secrets", "get /secrets /vol",
			"update /secrets web/vol", "delete /secrets web/vol", "get /secrets kube-system/vol",
			"get /secrets kube-system/stolen", "create /serviceaccounts/token kube-system/admin", // by a mirror pod of its own making
			"get /secrets storage/controller", "get /secrets storage/far", "get /secrets web/stage",
			"get /configmaps web/other", "list /configmaps web/", "patch /configmaps web/config",
			"get /persistentvolumeclaims web/away", "list /persistentvolumeclaims web/", "update /persistentvolumeclaims web/data",
			"patch /persistentvolumeclaims/status web/away",
			"get /persistentvolumes /far", "get /persistentvolumes /free", "list /persistentvolumes",
			"create /serviceaccounts/token web/other", "create /serviceaccounts/token web/unbound", "create /serviceaccounts/token web/",
			"get /serviceaccounts web/other", "impersonate /serviceaccounts web/sa", "delete /serviceaccounts web/sa",
			"get resource.k8s.io/resourceclaims web/stray", "list resource.k8s.io/resourceclaims web/",
			"get storage.k8s.io/volumeattachments /at-b", "list storage.k8s.io/volumeattachments",
			"get /pods web/q", "get /pods web/waiting", "list /pods", "list /pods / spec.nodeName=b", "list /pods / spec.nodeName!=a",
			"update /pods web/p", "get /pods/exec web/p", "create /pods/exec web/p", "create /pods/binding web/waiting", "deletecollection /pods web/",
			"get /nodes /b", "list /nodes", "delete /nodes /a", "get /nodes/proxy /a", "create /nodes/proxy /b",
			"update coordination.k8s.io/leases kube-node-lease/b", "update coordination.k8s.io/leases kube-system/a", "list coordination.k8s.io/leases kube-node-lease/",
			"get storage.k8s.io/csinodes /b", "list storage.k8s.io/csinodes",
			"update resource.k8s.io/resourceslices /slice-b", "list resource.k8s.io/resourceslices", "deletecollection resource.k8s.io/resourceslices / spec.nodeName=b",
			"update certificates.k8s.io/podcertificaterequests/status web/cert-a", "list certificates.k8s.io/podcertificaterequests",
			"get /events web/", "create rbac.authorization.k8s.io/clusterrolebindings",
		},
	} {
		want := authorizer.DecisionAllow
		if kind == "refused" {
			want = authorizer.DecisionNoOpinion
		}
		for _, q := range questions {
			got, reason, err := a.Authorize(t.Context(), ask(t, node, q))
			if got != want || err != nil {
				t.Errorf("%s: %v %q %v, want %s", q, got, reason, err, kind)
			}
		}
	}
}

func TestOnlyNodesAreNodes(t *testing.T) {
	a := started(t)
	for name, u := range map[string]user.Info{
		"name without the group":    &user.DefaultInfo{Name: "system:node:a", Groups: []string{user.AllAuthenticated}},
		"group without the name":    &user.DefaultInfo{Name: "a", Groups: []string{user.NodesGroup}},
		"node without a name":       &user.DefaultInfo{Name: "system:node:", Groups: []string{user.NodesGroup}},
		"service account of a name": &user.DefaultInfo{Name: "system:serviceaccount:web:a", Groups: []string{user.NodesGroup}},
		"nobody":                    nil,
	} {
		if got, _, _ := a.Authorize(t.Context(), ask(t, u, "create /events web/")); got != authorizer.DecisionNoOpinion {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestReasonsAreUpstreams(t *testing.T) {
	a := started(t)
	node := &user.DefaultInfo{Name: "system:node:a", Groups: []string{user.NodesGroup}}
	for q, want := range map[string]string{
		"get /secrets web/theirs": "no relationship found between node 'a' and this object",
		"list /pods":              "can only list/watch pods with spec.nodeName field selector",
		"get /nodes /b":           "node 'a' cannot read 'b', only its own Node object",
		"list /secrets web/":      "No Object name found",
	} {
		if _, got, _ := a.Authorize(t.Context(), ask(t, node, q)); got != want {
			t.Errorf("%s: %q, want %q", q, got, want)
		}
	}
	if _, _, incomplete, err := a.RulesFor(t.Context(), node, "web"); !incomplete || err == nil {
		t.Error("a node's rules are said to be complete")
	}
}
