package deployment_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/kinds/deployment"
)

// stale is a reconciler on caches that the test fills by hand.
type stale struct {
	*world
	reconciler        controller.Reconciler
	deployments, sets cache.Indexer
	events            []string
}

func newStale(t *testing.T) *stale {
	t.Helper()
	s := &stale{world: &world{Cluster: start(t), t: t}}
	f := informers.NewSharedInformerFactory(s.Client, 0)
	s.deployments, s.sets = f.Apps().V1().Deployments().Informer().GetIndexer(), f.Apps().V1().ReplicaSets().Informer().GetIndexer()
	s.reconciler = deployment.Controller().New(controller.Env{
		Client: s.Client, Informers: f, Now: time.Now,
		Event: func(_ runtime.Object, kind, reason, message string) {
			s.events = append(s.events, strings.Join([]string{kind, reason, message}, " "))
		},
	})
	return s
}

func (s *stale) reconcile() error {
	_, err := s.reconciler.Reconcile(s.t.Context(), types.NamespacedName{Namespace: ns, Name: "d"})
	return err
}

// refresh shows the cache the present Deployment.
func (s *stale) refresh() { s.check(s.deployments.Update(s.get())) }

func TestSlowCacheMakesNoSecondSet(t *testing.T) {
	s := newStale(t)
	s.check(s.deployments.Add(s.create(3, "")))
	s.check(s.reconcile())
	s.refresh()
	s.check(s.reconcile()) // the set is not in the cache
	if got := s.sizes(); got != "map[v1:3]" || s.get().Status.CollisionCount != nil {
		t.Errorf("%s, collisions %v", got, s.get().Status.CollisionCount)
	}
}

func TestStatusIsWrittenOnlyWhenItDiffers(t *testing.T) {
	s := newStale(t)
	s.check(s.deployments.Add(s.create(3, "")))
	s.check(s.reconcile())
	s.check(s.sets.Add(s.world.sets()["v1"]))
	before := s.get()
	s.refresh()
	s.check(s.reconcile())
	if now := s.get(); now.ResourceVersion != before.ResourceVersion {
		t.Errorf("written again: %+v, was %+v", now.Status, before.Status)
	}
}

func TestTakenHashIsCountedAndAnotherTried(t *testing.T) {
	s := newStale(t)
	s.check(s.deployments.Add(s.create(3, "")))
	s.check(s.reconcile())
	taken := s.world.sets()["v1"]
	sets := s.Client.AppsV1().ReplicaSets(ns)
	s.check(sets.Delete(t.Context(), taken.Name, metav1.DeleteOptions{}))
	apiservertest.Eventually(t, func() bool { return len(s.world.sets()) == 0 })
	taken.ObjectMeta = metav1.ObjectMeta{Name: taken.Name, Labels: taken.Labels}
	taken.Spec.Template.Spec.Containers[0].Image = "another"
	_, err := sets.Create(t.Context(), taken, metav1.CreateOptions{})
	s.check(err)
	s.refresh()
	if err := s.reconcile(); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
	s.refresh()
	s.check(s.reconcile())
	made := s.world.sets()["v1"]
	if count := s.get().Status.CollisionCount; count == nil || *count != 1 || made == nil || made.Name == taken.Name {
		t.Errorf("collisions %v, set %v", count, made)
	}
}

func TestRefusedSetIsTold(t *testing.T) {
	s := newStale(t)
	d := s.create(3, "")
	d.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	s.check(s.deployments.Add(d))
	err := s.reconcile()
	if err == nil || s.progress() != "ReplicaSetCreateError" || len(s.events) != 1 || !strings.HasPrefix(s.events[0], `Warning ReplicaSetCreateError Failed to create new replica set "d-`) {
		t.Errorf("%v, %q", err, s.events)
	}
}

func TestDeploymentThatIsBeingDeletedMakesNothing(t *testing.T) {
	s := newStale(t)
	d := s.create(3, "")
	d.DeletionTimestamp, d.Finalizers = &metav1.Time{Time: time.Now()}, []string{"f/f"}
	s.check(s.deployments.Add(d))
	s.check(s.reconcile())
	if got := s.sizes(); got != fmt.Sprint(map[string]*appsv1.ReplicaSet{}) {
		t.Error(got)
	}
}
