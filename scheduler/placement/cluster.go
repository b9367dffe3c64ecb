// Package placement decides which node a pod goes to: filters and scores over the state of a cluster that is kept
// up to date node by node and pod by pod. It is pure: no time, no goroutines, no input or output; the same calls
// in the same order give the same answers. One goroutine at a time uses a Cluster.
package placement

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Cluster is the nodes, the pods on them, and what is counted over them.
type Cluster struct {
	nodes      []*Node          // those whose object is known
	byName     map[string]*Node // and those that only pods name
	pods       map[types.UID]placed
	namespaces map[string]labels.Set
	repelling  map[string]*standing // required anti-affinity of the pods on nodes
	wishing    map[string]*standing // their preferences, and their required affinity as one
	tallies    tallies
	topologies map[string]*topology // by label
	onNodes    map[string]int       // image → on how many nodes
	next       int                  // where the next search begins, so that all nodes get their turn
	found      []*Node              // buffers of Place
	sums, each []int64
}

type placed struct {
	pod  *Pod
	node *Node
}

// NewCluster returns an empty cluster.
func NewCluster() *Cluster {
	return &Cluster{
		byName: map[string]*Node{}, pods: map[types.UID]placed{}, namespaces: map[string]labels.Set{},
		repelling: map[string]*standing{}, wishing: map[string]*standing{},
		tallies: newTallies(), topologies: map[string]*topology{}, onNodes: map[string]int{},
	}
}

// Size is the number of nodes.
func (c *Cluster) Size() int { return len(c.nodes) }

// Node is what is known of a node, nil when nothing is.
func (c *Cluster) Node(name string) *corev1.Node {
	if n := c.byName[name]; n != nil {
		return n.object
	}
	return nil
}

// SetNode adds a node or replaces what is known of it.
func (c *Cluster) SetNode(object *corev1.Node) {
	n := c.node(object.Name)
	fresh, moved := n.object == nil, n.object != nil && !maps.Equal(n.object.Labels, object.Labels)
	if moved {
		c.eachOn(n, (*Cluster).forget)
	}
	c.countImages(n, -1)
	n.set(object)
	c.countImages(n, +1)
	if fresh {
		n.index = len(c.nodes)
		c.nodes = append(c.nodes, n)
		c.tallies.grow()
	}
	if fresh || moved {
		clear(c.topologies)
		c.eachOn(n, (*Cluster).learn)
	}
}

// RemoveNode forgets a node's object; pods that name it stay known until they are removed.
func (c *Cluster) RemoveNode(name string) {
	n := c.byName[name]
	if n == nil || n.object == nil {
		return
	}
	c.eachOn(n, (*Cluster).forget)
	c.countImages(n, -1)
	last := c.nodes[len(c.nodes)-1]
	c.nodes[n.index], last.index = last, n.index
	c.nodes = c.nodes[:len(c.nodes)-1]
	c.tallies = newTallies() // they count by index
	clear(c.topologies)
	n.object, n.index = nil, -1
	if len(n.pods) == 0 {
		delete(c.byName, name)
	}
}

// SetNamespace makes a namespace's labels known, which pod affinity may select by.
func (c *Cluster) SetNamespace(name string, set map[string]string) {
	if old, known := c.namespaces[name]; known && maps.Equal(old, set) {
		return
	}
	c.namespaces[name] = set
	c.tallies.dropSelecting()
}

// RemoveNamespace forgets a namespace's labels.
func (c *Cluster) RemoveNamespace(name string) {
	delete(c.namespaces, name)
	c.tallies.dropSelecting()
}

// Put says that a pod is on a node, in the place of what was known of the pod.
func (c *Cluster) Put(p *Pod, node string) {
	c.Remove(p.Object.UID)
	n := c.node(node)
	c.pods[p.Object.UID] = placed{p, n}
	n.add(p)
	c.learn(n, p)
}

// Remove takes a pod off its node.
func (c *Cluster) Remove(uid types.UID) {
	at, known := c.pods[uid]
	if !known {
		return
	}
	delete(c.pods, uid)
	c.forget(at.node, at.pod)
	at.node.remove(at.pod)
	if at.node.object == nil && len(at.node.pods) == 0 {
		delete(c.byName, at.node.name)
	}
}

// NodeOf is the node that a pod was put on, or "".
func (c *Cluster) NodeOf(uid types.UID) string {
	if at, known := c.pods[uid]; known {
		return at.node.name
	}
	return ""
}

func (c *Cluster) node(name string) *Node {
	n := c.byName[name]
	if n == nil {
		n = newNode(name)
		c.byName[name] = n
	}
	return n
}

func (c *Cluster) eachOn(n *Node, f func(*Cluster, *Node, *Pod)) {
	for _, p := range n.pods {
		f(c, n, p)
	}
}

// learn counts what follows from a pod being on a node; forget undoes it. Both do nothing while only the node's
// name is known.
func (c *Cluster) learn(n *Node, p *Pod) {
	if n.object == nil {
		return
	}
	c.tallies.count(c, n, p, +1)
	c.stand(n, p, +1)
}

func (c *Cluster) forget(n *Node, p *Pod) {
	if n.object == nil {
		return
	}
	c.tallies.count(c, n, p, -1)
	c.stand(n, p, -1)
}

func (c *Cluster) countImages(n *Node, by int) {
	for name := range n.images {
		if c.onNodes[name] += by; c.onNodes[name] <= 0 {
			delete(c.onNodes, name)
		}
	}
}
