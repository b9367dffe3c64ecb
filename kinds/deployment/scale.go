package deployment

import (
	"cmp"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
)

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
		whole = o.d.Status.Replicas
	}
	if whole == 0 {
		return 0 // nothing is known of what it was a part of
	}
	return int32(math.Round(float64(size(rs))*float64(o.mostPods())/float64(whole))) - size(rs)
}
