package placement

import (
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// best is the best that a node can be by one score.
const best = 100

// score is one way of comparing the candidates. prepare returns what each node is worth, nil when all are worth
// the same to this pod; scale brings the worths to 0…best.
type score struct {
	weight  int64
	prepare func(*Cluster, *Pod, []*Node) func(*Node) int64
	scale   func([]int64)
}

var scores = []score{
	{3, averse, fewest},
	{2, preferred, most},
	{2, crowded, evenest},
	{2, func(c *Cluster, p *Pod, _ []*Node) func(*Node) int64 { return company(c, p) }, between},
	{1, leastAllocated, asIs},
	{1, balanced, asIs},
	{1, hasImages, asIs},
}

func asIs([]int64) {}

// most makes the greatest worth best.
func most(worths []int64) {
	top := int64(0)
	for _, w := range worths {
		top = max(top, w)
	}
	if top == 0 {
		return
	}
	for i, w := range worths {
		worths[i] = best * w / top
	}
}

// fewest makes nothing best, and the greatest worth nothing.
func fewest(worths []int64) {
	most(worths)
	for i, w := range worths {
		worths[i] = best - w
	}
}

// between makes the least nothing and the greatest best.
func between(worths []int64) {
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, w := range worths {
		low, high = min(low, w), max(high, w)
	}
	for i, w := range worths {
		worths[i] = 0
		if high > low {
			worths[i] = best * (w - low) / (high - low)
		}
	}
}

// evenest makes the least crowded best; nodes that take no part get nothing.
func evenest(worths []int64) {
	low, high := int64(math.MaxInt64), int64(0)
	for _, w := range worths {
		if w >= 0 {
			low, high = min(low, w), max(high, w)
		}
	}
	for i, w := range worths {
		switch {
		case w < 0:
			worths[i] = 0
		case high == 0:
			worths[i] = best
		default:
			worths[i] = best * (high + low - w) / high
		}
	}
}

// averse counts taints that would rather have the pod elsewhere.
func averse(_ *Cluster, p *Pod, candidates []*Node) func(*Node) int64 {
	for _, n := range candidates {
		if len(n.averts) > 0 {
			return func(n *Node) int64 {
				count := int64(0)
				for i := range n.averts {
					if !tolerated(p, &n.averts[i]) {
						count++
					}
				}
				return count
			}
		}
	}
	return nil
}

func preferred(_ *Cluster, p *Pod, _ []*Node) func(*Node) int64 {
	if p.prefers == nil {
		return nil
	}
	return func(n *Node) int64 { return p.prefers.Score(n.object) }
}

// leastAllocated is the share of CPU and memory that would stay free.
func leastAllocated(_ *Cluster, p *Pod, _ []*Node) func(*Node) int64 {
	return func(n *Node) int64 {
		sum, of := int64(0), int64(0)
		for _, r := range [2][2]int64{
			{n.usual.milliCPU + p.usual.milliCPU, n.allocatable.milliCPU},
			{n.usual.memory + p.usual.memory, n.allocatable.memory},
		} {
			if r[1] == 0 {
				continue
			}
			of++
			if r[0] <= r[1] {
				sum += (r[1] - r[0]) * best / r[1]
			}
		}
		if of == 0 {
			return 0
		}
		return sum / of
	}
}

// balanced is how much nearer to one another the pod brings the shares of CPU and memory in use.
func balanced(_ *Cluster, p *Pod, _ []*Node) func(*Node) int64 {
	r := &p.requests
	if r.milliCPU == 0 && r.memory == 0 {
		return nil
	}
	return func(n *Node) int64 {
		used, have := &n.requested, &n.allocatable
		with := balance(used.milliCPU+r.milliCPU, have.milliCPU, used.memory+r.memory, have.memory)
		without := balance(used.milliCPU, have.milliCPU, used.memory, have.memory)
		return best/2 + (best/2+with-without)/2
	}
}

func balance(cpu, ofCPU, memory, ofMemory int64) int64 {
	if ofCPU == 0 || ofMemory == 0 {
		return best
	}
	a, b := min(1, float64(cpu)/float64(ofCPU)), min(1, float64(memory)/float64(ofMemory))
	return int64((1 - math.Abs(a-b)/2) * best)
}

// Bounds of what counts of an image that a node has already.
const (
	smallImage = 23 << 20
	largeImage = 1000 << 20 // for each container
)

// hasImages favours nodes that have large images of the pod, the more so the more nodes have them, lest all pods
// gather on the first.
func hasImages(c *Cluster, p *Pod, _ []*Node) func(*Node) int64 {
	var wanted []string
	for _, name := range p.images {
		if c.onNodes[name] > 0 {
			wanted = append(wanted, name)
		}
	}
	if wanted == nil {
		return nil
	}
	limit := int64(largeImage * len(p.images))
	return func(n *Node) int64 {
		sum := int64(0)
		for _, name := range wanted {
			sum += n.images[name] * int64(c.onNodes[name]) / int64(len(c.nodes))
		}
		return best * (min(max(sum, smallImage), limit) - smallImage) / (limit - smallImage)
	}
}

// imagesOf are the names of a pod's images as nodes report them.
func imagesOf(pod *corev1.Pod) []string {
	var names []string
	add := func(name string) {
		if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
			name += ":latest"
		}
		names = append(names, name)
	}
	for i := range pod.Spec.InitContainers {
		add(pod.Spec.InitContainers[i].Image)
	}
	for i := range pod.Spec.Containers {
		add(pod.Spec.Containers[i].Image)
	}
	return names
}
