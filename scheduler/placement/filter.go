package placement

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Filter names a reason why a node is out of the question; a set of them is their sum.
type Filter uint16

// The filters, in the order in which they are asked.
const (
	Unschedulable Filter = 1 << iota
	NodeName
	Taints
	NodeAffinity
	Ports
	Resources
	Volumes
	Spread
	PodAffinity
	// Every filter; also what rejects a pod when there is no node at all.
	Every Filter = 1<<iota - 1
)

// filter is one rule. prepare looks at the pod once and returns what to ask of each node, nil when this pod need
// not ask.
type filter struct {
	is      Filter
	reason  string
	prepare func(*Cluster, *Pod) func(*Node) bool
}

// filters are cheap ones first. Resources has reasons of its own: see lacking.
var filters = []filter{
	{Unschedulable, "node(s) were unschedulable", open},
	{NodeName, "node(s) didn't match the requested node name", named},
	{Taints, "node(s) had untolerated taint(s)", untainted},
	{NodeAffinity, "node(s) didn't match Pod's node affinity/selector", selected},
	{Ports, "node(s) didn't have free ports for the requested pod ports", portsFree},
	{Resources, "", enough},
	{Volumes, "node(s) didn't match PersistentVolume's node affinity", reachesVolumes},
	{Spread, "node(s) didn't match pod topology spread constraints (missing required label)", labelled},
	{Spread, "node(s) didn't match pod topology spread constraints", even},
	{PodAffinity, "node(s) didn't match pod affinity rules", nearOthers},
	{PodAffinity, "node(s) didn't match pod anti-affinity rules", farFromOthers},
	{PodAffinity, "node(s) didn't satisfy existing pods anti-affinity rules", repelled},
}

// open fits nodes that are not cordoned.
func open(_ *Cluster, p *Pod) func(*Node) bool {
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	if tolerated(p, &cordon) {
		return nil
	}
	return func(n *Node) bool { return !n.object.Spec.Unschedulable }
}

func named(_ *Cluster, p *Pod) func(*Node) bool {
	if p.Object.Spec.NodeName == "" {
		return nil
	}
	return func(n *Node) bool { return n.name == p.Object.Spec.NodeName }
}

func untainted(_ *Cluster, p *Pod) func(*Node) bool {
	return func(n *Node) bool { return len(n.repels) == 0 || tolerates(p, n.repels) }
}

// tolerates every taint.
func tolerates(p *Pod, taints []corev1.Taint) bool {
	for i := range taints {
		if !tolerated(p, &taints[i]) {
			return false
		}
	}
	return true
}

func tolerated(p *Pod, taint *corev1.Taint) bool {
	return slices.ContainsFunc(p.Object.Spec.Tolerations, func(t corev1.Toleration) bool {
		if (t.Effect != "" && t.Effect != taint.Effect) || (t.Key != "" && t.Key != taint.Key) {
			return false
		}
		switch t.Operator {
		case "", corev1.TolerationOpEqual:
			return t.Value == taint.Value
		case corev1.TolerationOpExists:
			return true
		}
		return false
	})
}

func selected(_ *Cluster, p *Pod) func(*Node) bool {
	if !p.selective {
		return nil
	}
	return func(n *Node) bool {
		ok, err := p.nodes.Match(n.object)
		return ok && err == nil
	}
}

func portsFree(_ *Cluster, p *Pod) func(*Node) bool {
	if len(p.ports) == 0 {
		return nil
	}
	return func(n *Node) bool { return !slices.ContainsFunc(p.ports, n.taken) }
}

func reachesVolumes(_ *Cluster, p *Pod) func(*Node) bool {
	if len(p.Volumes) == 0 {
		return nil
	}
	return func(n *Node) bool {
		for _, v := range p.Volumes {
			if !v.Match(n.object) {
				return false
			}
		}
		return true
	}
}

func enough(_ *Cluster, p *Pod) func(*Node) bool {
	r := &p.requests
	return func(n *Node) bool {
		have, used := &n.allocatable, &n.requested
		if used.pods+1 > have.pods ||
			(r.milliCPU > 0 && r.milliCPU > have.milliCPU-used.milliCPU) ||
			(r.memory > 0 && r.memory > have.memory-used.memory) ||
			(r.storage > 0 && r.storage > have.storage-used.storage) {
			return false
		}
		for name, amount := range r.others {
			if amount > 0 && amount > have.others[name]-used.others[name] {
				return false
			}
		}
		return true
	}
}

// lacking says what a node has too little of.
func lacking(n *Node, p *Pod) []string {
	var reasons []string
	r, have, used := &p.requests, &n.allocatable, &n.requested
	if used.pods+1 > have.pods {
		reasons = append(reasons, "Too many pods")
	}
	for _, one := range []struct {
		name             corev1.ResourceName
		want, have, used int64
	}{
		{corev1.ResourceCPU, r.milliCPU, have.milliCPU, used.milliCPU},
		{corev1.ResourceMemory, r.memory, have.memory, used.memory},
		{corev1.ResourceEphemeralStorage, r.storage, have.storage, used.storage},
	} {
		if one.want > 0 && one.want > one.have-one.used {
			reasons = append(reasons, "Insufficient "+string(one.name))
		}
	}
	for name, amount := range r.others {
		if amount > 0 && amount > have.others[name]-used.others[name] {
			reasons = append(reasons, "Insufficient "+string(name))
		}
	}
	return reasons
}
