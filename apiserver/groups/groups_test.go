package groups

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func names(l *List) (all []string) {
	for _, g := range l.All() {
		all = append(all, g.Name)
	}
	return all
}

func TestGroupsStandInTheOrderOfTheirPriority(t *testing.T) {
	l := &List{}
	for _, gv := range []schema.GroupVersion{{Group: "batch", Version: "v1"}, {Group: "apps", Version: "v1"}, {Group: "example.com", Version: "v1"}} {
		l.Set(BuiltIn, gv.Group, []Version{{gv.Version, Of(gv)}})
	}
	l.Set(Custom, "b.com", []Version{{"v1", OfCustom}})
	l.Set(Custom, "a.com", []Version{{"v1", OfCustom}})
	l.Set(Remote, "first.com", []Version{{"v1", Priority{20000, 10}}})
	want := []string{"first.com", "apps", "batch", "example.com", "a.com", "b.com"}
	got := names(l)
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestTheVersionOfHighestPriorityIsPreferred(t *testing.T) {
	l := &List{}
	l.Set(Remote, "a.com", []Version{{"v1beta1", Priority{1, 5}}, {"v1", Priority{1, 5}}, {"v2alpha1", Priority{1, 9}}})
	got := l.Group("a.com")
	if got.PreferredVersion.Version != "v2alpha1" || got.Versions[1].Version != "v1" || got.Versions[2].Version != "v1beta1" {
		t.Errorf("got %+v", got)
	}
	if len(l.Group("b.com").Versions) != 0 {
		t.Error("a group that nobody serves")
	}
}

func TestAGroupIsThereWhileASourceServesIt(t *testing.T) {
	l := &List{}
	l.Set(Custom, "a.com", []Version{{"v1", OfCustom}})
	l.Set(Remote, "a.com", []Version{{"v1", OfCustom}, {"v2", OfCustom}})
	if got := l.Group("a.com"); len(got.Versions) != 2 {
		t.Errorf("two sources have %+v", got.Versions)
	}
	l.Set(Remote, "a.com", nil)
	if got := l.Group("a.com"); len(got.Versions) != 1 {
		t.Errorf("one source has %+v", got.Versions)
	}
	l.Set(Custom, "a.com", nil)
	if got := names(l); len(got) != 0 {
		t.Errorf("nobody serves %v", got)
	}
}

func TestBuiltInVersionsHaveKubernetesPriorities(t *testing.T) {
	for gv, want := range map[schema.GroupVersion]Priority{
		{Version: "v1"}: {18000, 1}, {Group: "apps", Version: "v1"}: {17800, 15}, {Group: "autoscaling", Version: "v1"}: {17500, 15},
		{Group: "autoscaling", Version: "v2"}: {17500, 30}, {Group: "networking.k8s.io", Version: "v1beta1"}: {17200, 9},
	} {
		if got := Of(gv); got != want {
			t.Errorf("%v: %v, want %v", gv, got, want)
		}
	}
}
