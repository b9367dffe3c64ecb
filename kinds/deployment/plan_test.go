package deployment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// rolling is a Deployment of the template "new".
func rolling(replicas int32, surge, unavailable string) *appsv1.Deployment {
	s, u := intstr.Parse(surge), intstr.Parse(unavailable)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "n", UID: "d", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}, Template: podOf("new"),
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u}},
		},
	}
	Default(d)
	return d
}

func podOf(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

// set is a ReplicaSet whose pods all exist, of which some are available. Its template is its name's part before a dot.
func set(name string, size, available int32) *appsv1.ReplicaSet {
	image, _, _ := strings.Cut(name, ".")
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: podOf(image)}}
	Default(d)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(noon), Labels: map[string]string{"a": "b"}},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &size, Template: d.Spec.Template},
		Status:     appsv1.ReplicaSetStatus{Replicas: size, ReadyReplicas: available, AvailableReplicas: available, TerminatingReplicas: new(int32)},
	}
	rs.Spec.Template.Labels = with(rs.Spec.Template.Labels, name)
	return rs
}

// scaled is a set that was last scaled as a part of a whole.
func scaled(rs *appsv1.ReplicaSet, desired, most int) *appsv1.ReplicaSet {
	rs.Annotations = map[string]string{desiredAnnotation: fmt.Sprint(desired), maxAnnotation: fmt.Sprint(most)}
	return rs
}

func revised(rs *appsv1.ReplicaSet, revision string) *appsv1.ReplicaSet {
	rs.Annotations = map[string]string{revisionAnnotation: revision}
	return rs
}

func TestSurgeIsRoundedUpAndUnavailableDown(t *testing.T) {
	for _, test := range []struct {
		replicas           int32
		surge, unavailable string
		wantSurge, lack    int32
	}{
		{10, "25%", "25%", 3, 2},
		{1, "25%", "25%", 1, 0},
		{3, "0%", "10%", 0, 1}, // both would be none
		{2, "5", "3", 5, 2},    // no more can lack than there are
		{0, "25%", "25%", 0, 0},
	} {
		surge, lack := newRollout(rolling(test.replicas, test.surge, test.unavailable), nil, noon).bounds()
		if surge != test.wantSurge || lack != test.lack {
			t.Errorf("%+v: %d, %d", test, surge, lack)
		}
	}
}

func TestStepsOfARollingUpdate(t *testing.T) {
	for name, test := range map[string]struct {
		d    *appsv1.Deployment
		sets []*appsv1.ReplicaSet
		want string
	}{
		"new grows by the surge":                 {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("old", 10, 10), set("new", 0, 0)}, "new 3, old 8"},
		"new fills what old has left":            {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("old", 8, 8), set("new", 3, 0)}, "new 5, old 8"},
		"old follows what serves of new":         {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("old", 8, 8), set("new", 5, 2)}, "new 5, old 6"},
		"nothing lacks without surge's pods":     {rolling(3, "1", "0"), []*appsv1.ReplicaSet{set("old", 3, 3), set("new", 1, 0)}, "new 1, old 3"},
		"one for one without lack":               {rolling(3, "1", "0"), []*appsv1.ReplicaSet{set("old", 3, 3), set("new", 1, 1)}, "new 1, old 2"},
		"without surge old goes first":           {rolling(3, "0", "1"), []*appsv1.ReplicaSet{set("old", 3, 3), set("new", 0, 0)}, "new 0, old 2"},
		"ill pods of old go first":               {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("old", 10, 8), set("new", 0, 0)}, "new 3, old 8"},
		"ill pods go from the oldest":            {rolling(4, "0", "2"), []*appsv1.ReplicaSet{set("old.1", 2, 0), set("old.2", 2, 2), set("new", 0, 0)}, "new 0, old.1 0, old.2 2"},
		"what an old set is to lose serves not":  {rolling(3, "1", "0"), []*appsv1.ReplicaSet{set("old", 2, 3), set("new", 1, 1)}, "new 2, old 2"},
		"a broken new one does not end all old":  {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("old", 8, 7), set("new", 5, 0)}, "new 5, old 8"},
		"a third template waits for room":        {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("old.1", 8, 8), set("old.2", 5, 0), set("new", 0, 0)}, "new 0, old.1 8, old.2 0"},
		"new shrinks to the replicas":            {rolling(2, "1", "0"), []*appsv1.ReplicaSet{set("new", 5, 5)}, "new 2"},
		"back to the old one while new is ill":   {rolling(10, "3", "2"), []*appsv1.ReplicaSet{set("new", 8, 7), set("old", 5, 0)}, "new 8, old 1"},
		"nothing to do at the end":               {rolling(3, "1", "0"), []*appsv1.ReplicaSet{set("old", 0, 0), set("new", 3, 3)}, "new 3, old 0"},
		"the last old one goes when all new are": {rolling(3, "1", "0"), []*appsv1.ReplicaSet{set("old", 1, 1), set("new", 3, 3)}, "new 3, old 0"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newRollout(test.d, test.sets, noon)
			for _, next := range []func() sizes{o.up, o.down} {
				for name, n := range next() {
					i := slices.IndexFunc(o.sets, func(rs *appsv1.ReplicaSet) bool { return rs.Name == name })
					o.sets[i].Spec.Replicas = &n
				}
			}
			if got := describe(o.sets); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func describe(sets []*appsv1.ReplicaSet) string {
	var parts []string
	for _, rs := range sets {
		parts = append(parts, fmt.Sprintf("%s %d", rs.Name, size(rs)))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func TestNewSizeIsSharedInProportion(t *testing.T) {
	for name, test := range map[string]struct {
		replicas int32
		sets     []*appsv1.ReplicaSet
		resized  bool
		want     sizes
	}{
		"grows":                 {15, []*appsv1.ReplicaSet{scaled(set("old", 8, 8), 10, 13), scaled(set("new", 5, 0), 10, 13)}, true, sizes{"old": 11, "new": 7}},
		"shrinks":               {5, []*appsv1.ReplicaSet{scaled(set("old", 8, 8), 10, 13), scaled(set("new", 5, 0), 10, 13)}, true, sizes{"old": 5, "new": 3}},
		"to none":               {0, []*appsv1.ReplicaSet{scaled(set("old", 8, 8), 10, 13), scaled(set("new", 5, 0), 10, 13)}, true, sizes{"old": 0, "new": 0}},
		"one set takes it all":  {15, []*appsv1.ReplicaSet{scaled(set("old", 10, 10), 10, 13), scaled(set("new", 0, 0), 10, 13)}, true, sizes{"old": 15}},
		"from none: the newest": {3, []*appsv1.ReplicaSet{scaled(set("old", 0, 0), 0, 0), scaled(set("new", 0, 0), 0, 0)}, false, sizes{"new": 3}},
		"new has all already":   {4, []*appsv1.ReplicaSet{scaled(set("old", 2, 2), 3, 4), scaled(set("new", 4, 4), 4, 5)}, true, sizes{"old": 0}},
		"without annotations":   {15, []*appsv1.ReplicaSet{set("old", 8, 8), set("new", 5, 0)}, false, sizes{"old": 13, "new": 5}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newRollout(rolling(test.replicas, "3", "2"), test.sets, noon)
			if got := o.proportional(); fmt.Sprint(got) != fmt.Sprint(test.want) || o.resized() != test.resized {
				t.Errorf("%v, resized %v; want %v, %v", got, o.resized(), test.want, test.resized)
			}
		})
	}
}

func TestHistoryKeepsTheLastRevisions(t *testing.T) {
	d := rolling(3, "1", "0")
	limit := int32(1)
	d.Spec.RevisionHistoryLimit = &limit
	sets := []*appsv1.ReplicaSet{revised(set("old.1", 0, 0), "4"), revised(set("old.2", 0, 0), "2"), revised(set("old.3", 1, 1), "1"), revised(set("new", 3, 3), "5")}
	var names []string
	for _, rs := range newRollout(d, sets, noon).excess() {
		names = append(names, rs.Name)
	}
	if !slices.Equal(names, []string{"old.2"}) { // old.3 still has a pod
		t.Errorf("got %v", names)
	}
}

func TestRevisionRisesAndIsRemembered(t *testing.T) {
	d := rolling(3, "1", "0")
	d.Annotations = map[string]string{"mine": "x", revisionAnnotation: "9", corev1.LastAppliedConfigAnnotation: "{}"}
	o := newRollout(d, []*appsv1.ReplicaSet{revised(set("new", 0, 0), "1"), revised(set("old", 3, 3), "2")}, noon)
	annotate(o.current, d, nextRevision(o))
	annotate(o.current, d, nextRevision(o))
	if got := fmt.Sprint(o.current.Annotations); got != "map[deployment.kubernetes.io/revision:3 deployment.kubernetes.io/revision-history:1 mine:x]" {
		t.Errorf("got %s", got)
	}
	if got := remember(strings.Repeat("1000,", 399)+"1000", 2000); len(got) > longestHistory || !strings.HasSuffix(got, ",1000,2000") {
		t.Errorf("%d characters, %s", len(got), got[len(got)-20:])
	}
}

func TestNameOfASetIsNeverTooLong(t *testing.T) {
	if got := setName("d", "5f"); got != "d-5f" {
		t.Error(got)
	}
	if got := setName(strings.Repeat("d", 253), "5f"); len(got) != 253 || !strings.HasSuffix(got, "d-5f") {
		t.Errorf("%d: %s", len(got), got)
	}
}

func TestHashTellsTemplatesAndCollisionsApart(t *testing.T) {
	seen := map[string]bool{}
	one, two := int32(1), int32(2)
	for _, image := range []string{"a", "b"} {
		for _, collisions := range []*int32{nil, &one, &two} {
			spec := podOf(image)
			hash, err := templateHash(&spec, collisions)
			if err != nil || seen[hash] {
				t.Errorf("%s again, %v", hash, err)
			}
			seen[hash] = true
		}
	}
}
