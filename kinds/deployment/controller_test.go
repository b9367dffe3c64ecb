package deployment_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/polymorphichelpers"

	"dhow/apiserver/apiservertest"
)

func TestDeploymentMakesItsPodsAndTellsSo(t *testing.T) {
	w := newWorld(t)
	w.create(3, "")
	w.rolledOut()
	d, rs := w.get(), w.sets()["v1"]
	hash := rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if rs.Name != "d-"+hash || rs.Spec.Selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] != hash ||
		rs.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != hash || !metav1.IsControlledBy(rs, d) {
		t.Errorf("set %+v", rs.ObjectMeta)
	}
	const prefix = "deployment.kubernetes.io/"
	a := rs.Annotations
	if d.Annotations[prefix+"revision"] != "1" || a[prefix+"revision"] != "1" || a[prefix+"desired-replicas"] != "3" || a[prefix+"max-replicas"] != "4" {
		t.Errorf("annotations %v, %v", d.Annotations, a)
	}
	w.eventually("NewReplicaSetAvailable", w.progress)
	w.eventually("Scaled up replica set "+rs.Name+" from 0 to 3", func() string {
		events, err := w.Client.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=ScalingReplicaSet"})
		w.check(err)
		text := ""
		for _, e := range events.Items {
			text += e.Message
		}
		return text
	})
}

func TestRolloutWithoutUnavailablePodsNeverDips(t *testing.T) {
	w := newWorld(t)
	w.create(4, "strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}},")
	w.rolledOut()
	fewest := 4
	w.setWatch(func(w *world) { fewest = min(fewest, w.ready["v1"]+w.ready["v2"]) })
	most := w.watchSizes()
	w.edit(image("v2"))
	w.rolledOut()
	w.setWatch(func(*world) {})
	if fewest < 4 || most() > 5 {
		t.Errorf("there were %d ready pods at least, and sets of %d pods together at most", fewest, most())
	}
	if got := w.sizes(); got != "map[v1:0 v2:4]" {
		t.Error(got)
	}
}

func TestUndoFindsTheOldSetAndRaisesItsRevision(t *testing.T) {
	w := newWorld(t)
	w.create(2, "")
	w.rolledOut()
	w.edit(image("v2"))
	w.rolledOut()
	rollbacker, err := polymorphichelpers.RollbackerFor(appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind(), w.Client)
	w.check(err)
	if _, err := rollbacker.Rollback(w.get(), nil, 0, cmdutil.DryRunNone); err != nil {
		t.Fatal(err)
	}
	w.rolledOut()
	const revision = "deployment.kubernetes.io/revision"
	sets := w.sets()
	got := strings.Join([]string{w.sizes(), w.get().Annotations[revision], sets["v1"].Annotations[revision], sets["v1"].Annotations[revision+"-history"], sets["v2"].Annotations[revision]}, " ")
	if got != "map[v1:2 v2:0] 3 3 1 2" {
		t.Error(got)
	}
}

func TestPausedDeploymentIsScaledButNotRolledOut(t *testing.T) {
	w := newWorld(t)
	w.create(2, "")
	w.rolledOut()
	w.edit(func(d *appsv1.Deployment) {
		d.Spec.Paused = true
		image("v2")(d)
	})
	w.eventually("DeploymentPaused", w.progress)
	w.edit(replicas(3))
	w.eventually("map[v1:3]", w.sizes)
	w.edit(func(d *appsv1.Deployment) { d.Spec.Paused = false })
	w.rolledOut()
	if got := w.sizes(); got != "map[v1:0 v2:3]" {
		t.Error(got)
	}
}

func TestSizeChangedMidRolloutIsShared(t *testing.T) {
	w := newWorld(t)
	w.create(10, "strategy: {rollingUpdate: {maxUnavailable: 2, maxSurge: 3}},")
	w.rolledOut()
	w.edit(image(broken))
	w.eventually("map[broken:5 v1:8]", w.sizes)
	w.edit(replicas(15))
	w.eventually("map[broken:7 v1:11]", w.sizes)
	w.edit(replicas(5))
	w.eventually("map[broken:5 v1:3]", w.sizes) // 3 and 5 by shares, and then on to the least that must be available
	w.edit(image("v2"))                         // a third template gets the room of the broken one
	w.rolledOut()
	if got := w.sizes(); got != "map[broken:0 v1:0 v2:5]" {
		t.Error(got)
	}
}

func TestRecreateNeverRunsTwoTemplatesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create(3, "strategy: {type: Recreate},")
	w.rolledOut()
	mixed := false
	w.setWatch(func(w *world) { mixed = mixed || w.all["v1"] > 0 && w.all["v2"] > 0 })
	w.edit(image("v2"))
	w.rolledOut()
	w.setWatch(func(*world) {})
	if got := w.sizes(); mixed || got != "map[v1:0 v2:3]" {
		t.Errorf("mixed %v, %s", mixed, got)
	}
}

func TestRolloutThatStandsStillIsToldAfterItsDeadline(t *testing.T) {
	w := newWorld(t)
	w.create(1, "progressDeadlineSeconds: 1,")
	w.rolledOut()
	w.edit(image(broken))
	w.eventually("ProgressDeadlineExceeded", w.progress)
	w.edit(image("v2"))
	w.rolledOut()
	w.eventually("NewReplicaSetAvailable", w.progress)
}

func TestOldSetsBeyondTheHistoryAreDeleted(t *testing.T) {
	w := newWorld(t)
	w.create(1, "revisionHistoryLimit: 1,")
	for _, next := range []string{"v2", "v3", "v4"} {
		w.rolledOut()
		w.edit(image(next))
	}
	w.eventually("map[v3:0 v4:1]", w.sizes)
}

func TestSetsAreAdoptedAndReleasedByTheirLabels(t *testing.T) {
	w := newWorld(t)
	d := deploymentOf(t, 2, "")
	one := int32(1)
	orphan := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "orphan", Labels: map[string]string{"app": "a"}},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &one, Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
	_, err := w.Client.AppsV1().ReplicaSets(ns).Create(t.Context(), orphan, metav1.CreateOptions{})
	w.check(err)
	apiservertest.Eventually(t, func() bool { // else another is made first
		_, err := w.Informers.Apps().V1().ReplicaSets().Lister().ReplicaSets(ns).Get("orphan")
		return err == nil
	})
	w.create(2, "")
	w.rolledOut()
	if rs := w.sets()["v1"]; rs.Name != "orphan" || !metav1.IsControlledBy(rs, w.get()) || *rs.Spec.Replicas != 2 {
		t.Errorf("%+v", rs.ObjectMeta)
	}
	_, err = w.Client.AppsV1().ReplicaSets(ns).Patch(t.Context(), "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"b"}}}`), metav1.PatchOptions{})
	w.check(err)
	apiservertest.Eventually(t, func() bool {
		list, err := w.Client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{})
		w.check(err)
		owned := map[bool]int{}
		for _, rs := range list.Items {
			owned[strings.HasPrefix(rs.Name, "d-") && metav1.IsControlledBy(&rs, w.get()) || rs.Name == "orphan" && len(rs.OwnerReferences) == 0]++
		}
		return owned[true] == 2 && owned[false] == 0
	})
}

func BenchmarkFiftyPods(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		made := make(chan struct{})
		var once sync.Once
		w.setWatch(func(w *world) {
			if w.all["v1"] >= 50 {
				once.Do(func() { close(made) })
			}
		})
		w.create(50, "")
		select {
		case <-made:
		case <-time.After(time.Minute):
			b.Fatal("not made within a minute")
		}
		b.StopTimer()
		w.check(w.Client.AppsV1().Deployments(ns).Delete(b.Context(), "d", metav1.DeleteOptions{}))
		w.check(w.Client.AppsV1().ReplicaSets(ns).DeleteCollection(b.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
		gone := func() bool {
			w.check(w.Client.CoreV1().Pods(ns).DeleteCollection(b.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.all["v1"] == 0
		}
		apiservertest.Eventually(b, gone)
		b.StartTimer()
	}
}
