package deployment

import (
	"cmp"
	"math"
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
	without := func(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
		t = t.DeepCopy()
		delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		return t
	}
	return apiequality.Semantic.DeepEqual(without(a), without(b))
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

// resized: the replicas have been changed since the sets last took heed of them.
func (o *rollout) resized() bool {
	for _, rs := range o.sets {
		if desired, known := annotatedNumber(rs, desiredAnnotation); size(rs) > 0 && known && desired != o.replicas() {
			return true
		}
	}
	return false
}

// proportional gives a new size to all sets that have pods, each its share, so that a rollout under way neither gains nor
// loses ground.
func (o *rollout) proportional() sizes {
	var active []*appsv1.ReplicaSet
	for _, rs := range o.sets {
		if size(rs) > 0 {
			active = append(active, rs)
		}
	}
	switch {
	case len(active) == 0 && o.current != nil:
		return sizes{o.current.Name: o.replicas()}
	case len(active) == 0 && len(o.sets) > 0:
		return sizes{o.sets[len(o.sets)-1].Name: o.replicas()}
	case len(active) == 0:
		return sizes{}
	case len(active) == 1:
		return sizes{active[0].Name: o.replicas()}
	case o.saturated():
		return o.noneOld()
	case o.d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType:
		return sizes{}
	}
	return o.shares(active)
}

// saturated: the current set has all the pods there shall be, and all serve.
func (o *rollout) saturated() bool {
	if o.current == nil {
		return false
	}
	desired, _ := annotatedNumber(o.current, desiredAnnotation)
	return size(o.current) == o.replicas() && desired == o.replicas() && o.current.Status.AvailableReplicas == o.replicas()
}

func (o *rollout) shares(active []*appsv1.ReplicaSet) sizes {
	allowed := int32(0)
	if o.replicas() > 0 {
		allowed = o.mostPods()
	}
	left := allowed - total(active, size)
	grows := left > 0
	slices.SortFunc(active, func(a, b *appsv1.ReplicaSet) int { // the largest first; among equals the newest, or oldest, first
		if grows {
			return cmp.Or(cmp.Compare(size(b), size(a)), byAge(b, a))
		}
		return cmp.Or(cmp.Compare(size(b), size(a)), byAge(a, b))
	})
	next := sizes{}
	for _, rs := range active {
		part := o.share(rs)
		if grows {
			part = max(0, min(part, left))
		} else {
			part = min(0, max(part, left))
		}
		next[rs.Name] = size(rs) + part
		left -= part
	}
	next[active[0].Name] = max(0, next[active[0].Name]+left)
	return next
}

// share is by how much a set changes when the whole does, from the whole that it was last part of.
func (o *rollout) share(rs *appsv1.ReplicaSet) int32 {
	if o.replicas() == 0 {
		return -size(rs)
	}
	whole, known := annotatedNumber(rs, maxAnnotation)
	if !known || whole == 0 {
		whole = max(o.d.Status.Replicas, 1)
	}
	return int32(math.Round(float64(size(rs))*float64(o.mostPods())/float64(whole))) - size(rs)
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
