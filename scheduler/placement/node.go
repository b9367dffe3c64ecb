package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Node is one node: what it has, and what the pods on it take.
type Node struct {
	name   string
	object *corev1.Node // nil while only pods name it
	index  int          // in Cluster.nodes
	pods   map[types.UID]*Pod

	allocatable    amounts
	requested      amounts // what pods ask for
	usual          amounts // the same, with a usual amount for containers that ask for nothing
	ports          map[port]int
	repels, averts []corev1.Taint   // NoSchedule and NoExecute; PreferNoSchedule
	images         map[string]int64 // by name, bytes
}

// port is a port of the host that a pod takes; an empty address is every address.
type port struct {
	protocol corev1.Protocol
	address  string
	number   int32
}

func newNode(name string) *Node {
	return &Node{name: name, index: -1, pods: map[types.UID]*Pod{}, ports: map[port]int{}}
}

func (n *Node) set(object *corev1.Node) {
	n.object = object
	n.allocatable = amountsOf(object.Status.Allocatable)
	n.repels, n.averts = nil, nil
	for _, t := range object.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			n.averts = append(n.averts, t)
		} else {
			n.repels = append(n.repels, t)
		}
	}
	n.images = map[string]int64{}
	for _, image := range object.Status.Images {
		for _, name := range image.Names {
			n.images[name] = image.SizeBytes
		}
	}
}

func (n *Node) add(p *Pod) {
	n.pods[p.Object.UID] = p
	n.requested.add(&p.requests, 1)
	n.usual.add(&p.usual, 1)
	for _, taken := range p.ports {
		n.ports[taken]++
	}
}

func (n *Node) remove(p *Pod) {
	delete(n.pods, p.Object.UID)
	n.requested.add(&p.requests, -1)
	n.usual.add(&p.usual, -1)
	for _, taken := range p.ports {
		if n.ports[taken]--; n.ports[taken] == 0 {
			delete(n.ports, taken)
		}
	}
}

// taken says whether another pod has the port, on the same address or on all.
func (n *Node) taken(want port) bool {
	if want.address != "" {
		return n.ports[want] > 0 || n.ports[port{want.protocol, "", want.number}] > 0
	}
	for have := range n.ports {
		if have.protocol == want.protocol && have.number == want.number {
			return true
		}
	}
	return false
}
