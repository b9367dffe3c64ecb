package garbage

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func TestPlan(t *testing.T) {
	owners := []metav1.OwnerReference{{UID: "a"}, {UID: "b"}}
	idle, deleting := []*object{{}}, []*object{{}, {state: foreground}}
	for _, test := range []struct {
		name       string
		verdicts   []verdict
		dependants []*object
		finalizers []string
		strip      []types.UID
		remove     bool
		policy     metav1.DeletionPropagation
		unblock    bool
	}{
		{name: "both there", verdicts: []verdict{present, present}},
		{name: "one there", verdicts: []verdict{present, absent}, strip: []types.UID{"b"}},
		{name: "one waits for it, but another is there", verdicts: []verdict{goingForeground, present}, strip: []types.UID{"a"}},
		{name: "none there", verdicts: []verdict{absent, absent}, remove: true, policy: metav1.DeletePropagationBackground},
		{name: "none there, orphans wanted", verdicts: []verdict{absent, absent}, finalizers: []string{"orphan"}, remove: true, policy: metav1.DeletePropagationOrphan},
		{name: "none there, foreground wanted", verdicts: []verdict{absent, absent}, finalizers: []string{"foregroundDeletion"}, remove: true, policy: metav1.DeletePropagationForeground},
		{name: "an owner waits", verdicts: []verdict{goingForeground, absent}, remove: true, policy: metav1.DeletePropagationBackground},
		{name: "an owner waits, with dependants", verdicts: []verdict{goingForeground, absent}, dependants: idle, remove: true, policy: metav1.DeletePropagationForeground},
		{name: "perhaps a circle", verdicts: []verdict{goingForeground, absent}, dependants: deleting, remove: true, policy: metav1.DeletePropagationForeground, unblock: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := plan(owners, test.verdicts, test.dependants, test.finalizers)
			var strip []types.UID
			for _, ref := range got.strip {
				strip = append(strip, ref.UID)
			}
			if !slices.Equal(strip, test.strip) || got.remove != test.remove || got.policy != test.policy || got.unblock != test.unblock {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAnObjectWithoutOwnersStays(t *testing.T) {
	if got := plan(nil, nil, nil, nil); got.remove || got.strip != nil {
		t.Errorf("got %+v", got)
	}
}

var boats = &kind{GroupVersionKind: schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "Boat"}, apiVersion: "g/v1", namespaced: true}

func boat(uid types.UID, s state, owners ...metav1.OwnerReference) *object {
	return &object{kind: boats, namespace: "n", name: string(uid), uid: uid, owners: owners, state: s}
}

func ref(uid types.UID) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "g/v1", Kind: "Boat", Name: string(uid), UID: uid}
}

func TestTheGraphAsksForALook(t *testing.T) {
	yes := true
	hard := ref("owner")
	hard.BlockOwnerDeletion = &yes
	misnamed := ref("owner")
	misnamed.Name = "other"
	far := boat("far", living, ref("owner"))
	far.namespace = "elsewhere"
	for _, test := range []struct {
		name   string
		before []*object
		change func(*graph) []types.UID
		want   []types.UID
	}{
		{"at nothing when the owner is known", []*object{boat("owner", living)},
			func(g *graph) []types.UID { return g.observe(boat("d", living, ref("owner"))) }, nil},
		{"at one whose owner is unknown", nil,
			func(g *graph) []types.UID { return g.observe(boat("d", living, ref("owner"))) }, []types.UID{"d"}},
		{"at one that names its owner wrongly", []*object{boat("owner", living)},
			func(g *graph) []types.UID { return g.observe(boat("d", living, misnamed)) }, []types.UID{"d"}},
		{"at one whose owner turns out to be another", []*object{boat("d", living, misnamed), boat("e", living, ref("owner"))},
			func(g *graph) []types.UID { return g.observe(boat("owner", living)) }, []types.UID{"d"}},
		{"at one in another namespace", []*object{boat("owner", living)},
			func(g *graph) []types.UID { return g.observe(far) }, []types.UID{"far"}},
		{"at dependants of what is gone", []*object{boat("owner", living), boat("d", living, ref("owner"))},
			func(g *graph) []types.UID { return g.remove("owner") }, []types.UID{"d"}},
		{"at nothing while an owner is ending", []*object{boat("owner", living), boat("d", living, ref("owner"))},
			func(g *graph) []types.UID { return g.observe(boat("owner", ending)) }, nil},
		{"at what is deleted in the foreground, and its dependants", []*object{boat("owner", living), boat("d", living, ref("owner"))},
			func(g *graph) []types.UID { return g.observe(boat("owner", foreground)) }, []types.UID{"d", "owner"}},
		{"at the waiting owner when a dependant is gone", []*object{boat("owner", foreground), boat("d", ending, hard)},
			func(g *graph) []types.UID { return g.remove("d") }, []types.UID{"owner"}},
		{"at the waiting owner when a dependant blocks no more", []*object{boat("owner", foreground), boat("d", ending, hard)},
			func(g *graph) []types.UID { return g.observe(boat("d", ending, ref("owner"))) }, []types.UID{"owner"}},
		{"at nothing when nothing changes", []*object{boat("d", living, ref("owner"))},
			func(g *graph) []types.UID { return g.observe(boat("d", living, ref("owner"))) }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGraph()
			for _, o := range test.before {
				g.observe(o)
			}
			got := test.change(g)
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, test.want) {
				t.Errorf("looks at %v, want %v", got, test.want)
			}
		})
	}
}

func TestTheGraphKeepsNothingOfWhatIsGone(t *testing.T) {
	g := newGraph()
	g.observe(boat("owner", living))
	g.observe(boat("d", living, ref("owner")))
	g.remove("owner")
	g.remove("d")
	if len(g.objects)+len(g.dependants) > 0 {
		t.Errorf("left: %v %v", g.objects, g.dependants)
	}
}

func TestKindsAreWatchedOnceInTheirPreferredVersion(t *testing.T) {
	all := metav1.Verbs{"create", "delete", "get", "list", "watch"}
	s := kindsOf([]*metav1.APIGroup{{Name: "g", PreferredVersion: metav1.GroupVersionForDiscovery{Version: "v2"}}}, []*metav1.APIResourceList{
		{GroupVersion: "g/v1", APIResources: []metav1.APIResource{{Name: "boats", Kind: "Boat", Namespaced: true, Verbs: all}, {Name: "oars", Kind: "Oar", Verbs: all}}},
		{GroupVersion: "g/v2", APIResources: []metav1.APIResource{{Name: "boats", Kind: "Boat", Namespaced: true, Verbs: all}, {Name: "boats/status", Kind: "Boat", Verbs: all}}},
		{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "events", Kind: "Event", Verbs: all}, {Name: "bindings", Kind: "Binding", Verbs: metav1.Verbs{"create"}}}},
	})
	got := map[string]string{}
	for resource, k := range s.watch {
		got[resource.Resource] = k.Version
	}
	if len(got) != 2 || got["boats"] != "v2" || got["oars"] != "v1" {
		t.Errorf("watched: %v", got)
	}
	if k := s.all[schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "Boat"}]; k == nil || !k.namespaced {
		t.Errorf("an owner in the older version: %+v", k)
	}
}
