package owned

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// patches are what a claim would write, and how often it has looked at its owner.
type patches struct {
	names []string
	texts string
	looks int
}

// claim is owner's, with a selector app=a; live is what the API has in the owner's place.
func (p *patches) claim(owner, live *corev1.Pod, answer error) *Claim[*corev1.Pod] {
	return &Claim[*corev1.Pod]{
		Owner: owner, Kind: corev1.SchemeGroupVersion.WithKind("Owner"), Selector: labels.SelectorFromSet(labels.Set{"app": "a"}),
		Live: func(context.Context) (metav1.Object, error) {
			p.looks++
			return live, nil
		},
		Patch: func(_ context.Context, name string, patch []byte) error {
			p.names, p.texts = append(p.names, name), p.texts+string(patch)
			return answer
		},
	}
}

func labelled(name, app string, owner *corev1.Pod) *corev1.Pod {
	p := object("")
	p.Name, p.Labels = name, map[string]string{"app": app}
	if owner != nil {
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("Owner"))}
	}
	return p
}

func TestClaimAdoptsReleasesAndLeavesToOthers(t *testing.T) {
	owner, other := object("owner"), object("other")
	var p patches
	going := labelled("going", "a", nil)
	going.DeletionTimestamp = &metav1.Time{}
	mine, err := p.claim(owner, owner, nil).Owned(t.Context(), []*corev1.Pod{
		labelled("own", "a", owner), labelled("left", "b", owner), labelled("orphan", "a", nil), labelled("orphan2", "a", nil),
		labelled("stranger", "b", nil), labelled("foreign", "a", other), going,
	})
	var names []string
	for _, o := range mine {
		names = append(names, o.Name)
	}
	if err != nil || !slices.Equal(names, []string{"own", "orphan", "orphan2"}) || !slices.Equal(p.names, []string{"left", "orphan", "orphan2"}) {
		t.Errorf("owned %v, patched %v, %v", names, p.names, err)
	}
	if p.looks != 1 {
		t.Errorf("looked %d times at the owner", p.looks)
	}
	for _, part := range []string{`"$patch":"delete"`, `"controller":true`, `"blockOwnerDeletion":true`, `"uid":"owner"`} {
		if !strings.Contains(p.texts, part) {
			t.Errorf("no %s in %s", part, p.texts)
		}
	}
}

func TestOwnerThatIsAnotherOrIsBeingDeletedAdoptsNothing(t *testing.T) {
	owner, going := object("owner"), object("owner")
	going.DeletionTimestamp = &metav1.Time{}
	for name, live := range map[string]*corev1.Pod{"another": object("another"), "going": going} {
		t.Run(name, func(t *testing.T) {
			var p patches
			mine, err := p.claim(owner, live, nil).Owned(t.Context(), []*corev1.Pod{labelled("orphan", "a", nil)})
			if err == nil || len(mine) > 0 || len(p.names) > 0 {
				t.Errorf("%v %v %v", mine, p.names, err)
			}
		})
	}
}

func TestOrphanThatHasGoneIsNotOwned(t *testing.T) {
	var p patches
	owner := object("owner")
	missing := apierrors.NewNotFound(corev1.Resource("pods"), "orphan")
	mine, err := p.claim(owner, owner, missing).Owned(t.Context(), []*corev1.Pod{labelled("orphan", "a", nil)})
	if err != nil || len(mine) > 0 {
		t.Errorf("gone: %v %v", mine, err)
	}
	mine, err = p.claim(owner, owner, errors.New("no")).Owned(t.Context(), []*corev1.Pod{labelled("orphan", "a", nil)})
	if err == nil || len(mine) > 0 {
		t.Errorf("refused: %v %v", mine, err)
	}
}

func TestDependantsAreFoundByControllerAndOrphansByNamespace(t *testing.T) {
	informer := informers.NewSharedInformerFactory(kubernetes.New(nil), 0).Core().V1().Pods().Informer()
	found := NewDependants[*corev1.Pod](informer)
	again := NewDependants[*corev1.Pod](informer)
	owner := object("owner")
	elsewhere := labelled("elsewhere", "a", nil)
	elsewhere.Namespace = "m"
	for _, o := range []*corev1.Pod{labelled("own", "a", owner), labelled("orphan", "a", nil), labelled("foreign", "a", object("other")), elsewhere} {
		if err := informer.GetIndexer().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	own, err := found.Of("owner")
	if err != nil || fmt.Sprint(names(own)) != "[own]" {
		t.Errorf("own: %v %v", names(own), err)
	}
	all, err := again.Claimable(owner)
	if err != nil || fmt.Sprint(names(all)) != "[orphan own]" {
		t.Errorf("claimable: %v %v", names(all), err)
	}
}

func names(all []*corev1.Pod) []string {
	var names []string
	for _, o := range all {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return names
}

func TestOrphansConcernNobodyUntilTheirLabelsChange(t *testing.T) {
	owner := object("owner")
	for name, test := range map[string]struct {
		before, after *corev1.Pod
		want          bool
	}{
		"same labels":   {labelled("o", "a", nil), labelled("o", "a", nil), false},
		"new labels":    {labelled("o", "a", nil), labelled("o", "b", nil), true},
		"just released": {labelled("o", "a", owner), labelled("o", "a", nil), true},
		"just adopted":  {labelled("o", "a", nil), labelled("o", "a", owner), true},
		"owned":         {labelled("o", "a", owner), labelled("o", "a", owner), true},
	} {
		if got := Moved(test.before, test.after); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
