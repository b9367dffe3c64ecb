package deployment

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"

	"dhow/api/table"
)

// rollout is a Deployment with its ReplicaSets at one moment, and all that follows from them. Nothing here writes.
type rollout struct {
	d       *appsv1.Deployment
	sets    []*appsv1.ReplicaSet // the oldest first
	current *appsv1.ReplicaSet   // of the present template; nil before it is made
	now     time.Time
	// progress is what this pass has to tell, if it has made or found the current set.
	progress *appsv1.DeploymentCondition
}

// sizes are replicas by the ReplicaSet's name.
type sizes map[string]int32

func newRollout(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, now time.Time) *rollout {
	o := &rollout{d: d, sets: sets, now: now}
	for _, rs := range sets {
		if sameTemplate(&rs.Spec.Template, &d.Spec.Template) {
			o.current = rs
			break // the oldest, should there be two
		}
	}
	return o
}

func byAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

// sameTemplate compares but for the label that the controller adds.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(withoutHash(*a), withoutHash(*b))
}

func withoutHash(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	t.Labels = maps.Clone(t.Labels)
	delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return t
}

func (o *rollout) replicas() int32 { return table.Value(o.d.Spec.Replicas) }

// old are all sets but the current one.
func (o *rollout) old() []*appsv1.ReplicaSet {
	var all []*appsv1.ReplicaSet
	for _, rs := range o.sets {
		if rs != o.current {
			all = append(all, rs)
		}
	}
	return all
}

func size(rs *appsv1.ReplicaSet) int32 {
	if rs == nil {
		return 0
	}
	return table.Value(rs.Spec.Replicas)
}

// available are a set's pods that serve. A set that is told to shrink loses some, whatever its status still says.
func available(rs *appsv1.ReplicaSet) int32 {
	if rs == nil {
		return 0
	}
	return min(rs.Status.AvailableReplicas, size(rs))
}

func total(sets []*appsv1.ReplicaSet, of func(*appsv1.ReplicaSet) int32) int32 {
	sum := int32(0)
	for _, rs := range sets {
		sum += of(rs)
	}
	return sum
}

// bounds are how many pods a rolling update may have beyond its replicas, and lack below them. Percentages of surge are
// rounded up, those of lack down; both cannot be none.
func (o *rollout) bounds() (surge, lack int32) {
	u := o.d.Spec.Strategy.RollingUpdate
	if o.d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || u == nil {
		return 0, 0
	}
	n := int(o.replicas())
	scaled := func(v *intstr.IntOrString, up bool) int32 {
		if v == nil {
			return 0
		}
		amount, err := intstr.GetScaledValueFromIntOrPercent(v, n, up)
		if err != nil {
			return 0 // validation has refused what cannot be read
		}
		return int32(amount)
	}
	surge, lack = scaled(u.MaxSurge, true), scaled(u.MaxUnavailable, false)
	if surge == 0 && lack == 0 {
		lack = 1
	}
	return surge, min(lack, o.replicas())
}

// mostPods is the number that a rolling update never exceeds.
func (o *rollout) mostPods() int32 {
	surge, _ := o.bounds()
	return o.replicas() + surge
}

// leastAvailable is the number below which a rolling update never goes by itself.
func (o *rollout) leastAvailable() int32 {
	_, lack := o.bounds()
	return o.replicas() - lack
}

// firstSize is that of a current set that is about to be made.
func (o *rollout) firstSize() int32 {
	if o.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return o.replicas()
	}
	return max(0, min(o.mostPods()-total(o.sets, size), o.replicas()))
}

// up grows the current set as far as the surge allows, or shrinks it to the replicas.
func (o *rollout) up() sizes {
	have, want := size(o.current), o.replicas()
	if have < want {
		room := o.mostPods() - total(o.sets, size)
		want = have + max(0, min(room, want-have))
	}
	return sizes{o.current.Name: want}
}

// down shrinks old sets: first by pods that do not serve anyway, then by those that enough new ones serve for.
func (o *rollout) down() sizes {
	next := sizes{}
	old := o.old()
	pending := size(o.current) - available(o.current)
	room := total(o.sets, size) - o.leastAvailable() - pending
	if total(old, size) == 0 || room <= 0 {
		return next
	}
	for _, rs := range old {
		ill := min(room, size(rs)-available(rs))
		next[rs.Name] = size(rs) - ill
		room -= ill
	}
	spare := total(o.sets, available) - o.leastAvailable()
	for _, rs := range old {
		fewer := max(0, min(spare, room, next[rs.Name]))
		next[rs.Name] -= fewer
		spare, room = spare-fewer, room-fewer
	}
	return next
}

// noneOld ends all old sets.
func (o *rollout) noneOld() sizes {
	next := sizes{}
	for _, rs := range o.old() {
		next[rs.Name] = 0
	}
	return next
}

// excess are the oldest of the old sets, beyond the history that is to be kept, as far as they have no pods.
func (o *rollout) excess() []*appsv1.ReplicaSet {
	if o.d.Spec.RevisionHistoryLimit == nil {
		return nil
	}
	var old []*appsv1.ReplicaSet
	for _, rs := range o.old() {
		if rs.DeletionTimestamp == nil {
			old = append(old, rs)
		}
	}
	slices.SortStableFunc(old, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(revisionOf(a), revisionOf(b)) })
	old = old[:max(0, len(old)-int(*o.d.Spec.RevisionHistoryLimit))]
	return slices.DeleteFunc(old, func(rs *appsv1.ReplicaSet) bool {
		return size(rs) != 0 || rs.Status.Replicas != 0 || rs.Generation > rs.Status.ObservedGeneration
	})
}

// Annotations of ReplicaSets by which the controller remembers.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
)

func annotatedNumber(rs *appsv1.ReplicaSet, name string) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[name], 10, 32)
	return int32(n), err == nil
}

// revisionOf is the number of a set's template in the Deployment's history, 0 when it has none yet.
func revisionOf(rs *appsv1.ReplicaSet) int64 {
	n, err := strconv.ParseInt(rs.Annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
