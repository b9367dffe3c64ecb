package rbac

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// upstreamDir is upstream's bootstrappolicy/testdata; with -upstream DIR the file of facts is drawn from it anew.
var upstreamDir = flag.String("upstream", "", "folder of upstream's bootstrap policy in YAML")

// facts is what upstream's default roles and bindings say, a line for each role and resource, and for each subject.
const facts = "testdata/upstream.txt"

// meant are the differences that dhow means: lines that only one side has, with - for upstream's and + for dhow's.
var meant = []string{
	// The facts are of v1.36 with its default features. These are the roles of features that v1.37 turns on.
	"+ClusterRole system:cluster-trust-bundle-discovery",
	"+ClusterRole system:cluster-trust-bundle-discovery: certificates.k8s.io/clustertrustbundles: get list watch",
	"+ClusterRoleBinding system:cluster-trust-bundle-discovery to ClusterRole system:cluster-trust-bundle-discovery: Group system:serviceaccounts",
	"+ClusterRole system:node: certificates.k8s.io/clustertrustbundles: get list watch",
	"+ClusterRole system:node: certificates.k8s.io/podcertificaterequests: create get list watch",
	"+ClusterRole system:kube-scheduler: resource.k8s.io/devicetaintrules: get list watch",
	// Upstream leaves these to kubeadm.
	"+Role kube-public/kubeadm:bootstrap-signer-clusterinfo: core/configmaps cluster-info: get",
	"+RoleBinding kube-public/kubeadm:bootstrap-signer-clusterinfo to Role kubeadm:bootstrap-signer-clusterinfo: User system:anonymous",
	// The cluster's DNS is a part of dhow with a user of its own.
	"+ClusterRole system:coredns",
	"+Role kube-system/system:coredns: core/configmaps coredns: get list watch",
	"+Role kube-system/system:coredns: core/configmaps: create",
	"+Role kube-system/system:coredns: core/events: create patch update",
	"+Role kube-system/system:coredns: core/services: create get patch update",
	"+Role kube-system/system:coredns: discovery.k8s.io/endpointslices: create delete get list patch update watch",
	"+Role kube-system/system:coredns: events.k8s.io/events: create patch update",
	"+RoleBinding kube-system/system:coredns to Role system:coredns: User system:coredns",
	"+ClusterRole system:coredns: core/endpoints: list watch",
	"+ClusterRole system:coredns: core/namespaces: list watch",
	"+ClusterRole system:coredns: core/nodes: get list watch",
	"+ClusterRole system:coredns: core/pods: list watch",
	"+ClusterRole system:coredns: core/services: list watch",
	"+ClusterRole system:coredns: discovery.k8s.io/endpointslices: list watch",
	"+ClusterRoleBinding system:coredns to ClusterRole system:coredns: User system:coredns",
}

func TestDefaultRolesAreUpstreams(t *testing.T) {
	if *upstreamDir != "" {
		text := strings.Join(linesOf(upstreamObjects(t)), "\n") + "\n"
		if err := os.WriteFile(facts, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(facts)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := strings.Split(strings.TrimSpace(string(data)), "\n"), linesOf(Defaults())
	var differ []string
	for sign, sides := range map[string][2][]string{"-": {theirs, ours}, "+": {ours, theirs}} {
		for _, line := range sides[0] {
			if !slices.Contains(sides[1], line) {
				differ = append(differ, sign+line)
			}
		}
	}
	slices.Sort(differ)
	for _, line := range differ {
		if !slices.Contains(meant, line) {
			t.Errorf("not meant: %s", line)
		}
	}
	for _, line := range meant {
		if !slices.Contains(differ, line) {
			t.Errorf("no difference any more: %s", line)
		}
	}
}

func upstreamObjects(t *testing.T) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for _, file := range []string{"cluster-roles.yaml", "cluster-role-bindings.yaml", "namespace-roles.yaml", "namespace-role-bindings.yaml"} {
		data, err := os.ReadFile(filepath.Join(*upstreamDir, file))
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Items []map[string]any }
		if err := yaml.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			obj := map[string]runtime.Object{
				"ClusterRole": &rbacv1.ClusterRole{}, "ClusterRoleBinding": &rbacv1.ClusterRoleBinding{},
				"Role": &rbacv1.Role{}, "RoleBinding": &rbacv1.RoleBinding{},
			}[item["kind"].(string)]
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item, obj); err != nil {
				t.Fatal(err)
			}
			all = append(all, obj)
		}
	}
	return all
}

// linesOf says what objects allow in a form in which the order and grouping of rules does not count.
func linesOf(objects []runtime.Object) []string {
	var all []string
	for _, obj := range objects {
		switch o := obj.(type) {
		case *rbacv1.ClusterRole:
			what := "ClusterRole " + o.Name
			all = append(all, what+labelsOf(o.Labels))
			if o.AggregationRule != nil {
				all = append(all, fmt.Sprintf("%s gathers %v", what, o.AggregationRule.ClusterRoleSelectors[0].MatchLabels))
			} else {
				all = append(all, ruleLines(what, o.Rules)...)
			}
		case *rbacv1.Role:
			all = append(all, ruleLines("Role "+o.Namespace+"/"+o.Name, o.Rules)...)
		case *rbacv1.ClusterRoleBinding:
			all = append(all, bindingLines("ClusterRoleBinding "+o.Name, o.RoleRef, o.Subjects)...)
		case *rbacv1.RoleBinding:
			all = append(all, bindingLines("RoleBinding "+o.Namespace+"/"+o.Name, o.RoleRef, o.Subjects)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func labelsOf(labels map[string]string) string {
	text := ""
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key != "kubernetes.io/bootstrapping" {
			text += " " + key
		}
	}
	return text
}

func ruleLines(what string, rules []rbacv1.PolicyRule) []string {
	verbs := map[string][]string{}
	for _, r := range rules {
		for _, url := range r.NonResourceURLs {
			verbs[url] = append(verbs[url], r.Verbs...)
		}
		for _, group := range r.APIGroups {
			if group == "" {
				group = "core"
			}
			for _, resource := range r.Resources {
				on := group + "/" + resource
				if len(r.ResourceNames) == 0 {
					verbs[on] = append(verbs[on], r.Verbs...)
				}
				for _, name := range r.ResourceNames {
					verbs[on+" "+name] = append(verbs[on+" "+name], r.Verbs...)
				}
			}
		}
	}
	var all []string
	for on, v := range verbs {
		slices.Sort(v)
		all = append(all, what+": "+on+": "+strings.Join(slices.Compact(v), " "))
	}
	return all
}

func bindingLines(what string, role rbacv1.RoleRef, subjects []rbacv1.Subject) []string {
	what += " to " + role.Kind + " " + role.Name
	if len(subjects) == 0 {
		return []string{what + ": nobody"}
	}
	var all []string
	for _, s := range subjects {
		all = append(all, strings.TrimSpace(what+": "+s.Kind+" "+strings.TrimPrefix(s.Namespace+"/"+s.Name, "/")))
	}
	return all
}
