package openapi

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

// The types that the schemas are made from, for gen/definitions.sh and for the test that they are current.
func sources(t *testing.T) string {
	t.Helper()
	text, err := exec.Command("gen/definitions.sh", "--sources").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSchemasAreThoseOfTheTypesThatAreUsed(t *testing.T) {
	recorded, err := os.ReadFile("sources.sum")
	if err != nil {
		t.Fatal(err)
	}
	if got := sources(t); got != string(recorded) {
		t.Errorf("schemas.zst is of other types than the modules in use; run make gen. Types now:\n%sand when it was made:\n%s", got, recorded)
	}
}

// withoutText: Kubernetes itself leaves these without a description. Schemas of JSON schemas speak for themselves.
func withoutText(name, field string) bool {
	short := name[strings.LastIndex(name, ".")+1:]
	return strings.Contains(name, ".apiextensions.v1.") && (strings.HasPrefix(short, "JSONSchema") || short == "ExternalDocumentation") ||
		strings.HasSuffix(short, "List") && field == "items" || field == "metadata" ||
		strings.Contains(name, ".pkg.runtime.") || strings.Contains(name, ".pkg.version.") || strings.HasPrefix(short, "Group") ||
		slices.Contains([]string{"InternalEvent", "WatchEvent"}, short)
}

func TestEveryFieldIsDescribed(t *testing.T) {
	all, err := unpack()
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	var missing []string
	for name, record := range all {
		for version, text := range map[string][]byte{"v2": record.v2, "v3": record.v3} {
			var s spec.Schema
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatalf("%s in %s: %v", name, version, err)
			}
			for field, p := range s.Properties {
				fields++
				if p.Description == "" && !withoutText(name, field) {
					missing = append(missing, name+"."+field)
				}
				if len(p.Type) == 0 && p.Ref.String() == "" && len(p.AllOf) == 0 && !withoutText(name, field) {
					t.Errorf("%s.%s has no type in %s", name, field, version)
				}
			}
		}
	}
	if fields < 10000 {
		t.Errorf("only %d fields", fields)
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 {
		t.Errorf("%d fields have no description: %s", len(missing), strings.Join(missing, ", "))
	}
}

func TestWhatTypesAreMadeOfIsThere(t *testing.T) {
	all, err := unpack()
	if err != nil {
		t.Fatal(err)
	}
	for name, record := range all {
		for _, need := range strings.Fields(record.needs) {
			if _, ok := all[need]; !ok {
				t.Errorf("%s needs %s", name, need)
			}
		}
		for _, text := range [][]byte{record.v2, record.v3} {
			for _, target := range references(text) {
				if all[target].v3 == nil {
					t.Errorf("%s refers to %s", name, target)
				}
			}
		}
	}
}

func TestExtensionsTellClientsHowToMerge(t *testing.T) {
	all, err := unpack()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ schema, field, extension, want string }{
		{"io.k8s.api.core.v1.PodSpec", "containers", "x-kubernetes-list-type", "map"},
		{"io.k8s.api.core.v1.PodSpec", "containers", "x-kubernetes-list-map-keys", "[name]"},
		{"io.k8s.api.core.v1.PodSpec", "containers", "x-kubernetes-patch-merge-key", "name"},
		{"io.k8s.api.core.v1.PodSpec", "containers", "x-kubernetes-patch-strategy", "merge"},
		{"io.k8s.api.core.v1.Container", "ports", "x-kubernetes-list-map-keys", "[containerPort protocol]"},
		{"io.k8s.api.core.v1.NodeSelector", "nodeSelectorTerms", "x-kubernetes-list-type", "atomic"},
		{"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers", "x-kubernetes-patch-strategy", "merge"},
	} {
		var s spec.Schema
		if err := json.Unmarshal(all[test.schema].v3, &s); err != nil {
			t.Fatal(err)
		}
		if got := s.Properties[test.field].Extensions[test.extension]; fmt.Sprint(got) != test.want {
			t.Errorf("%s.%s has %s %v, want %s", test.schema, test.field, test.extension, got, test.want)
		}
	}
}
