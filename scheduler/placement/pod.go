package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

var usualList = corev1.ResourceList{
	corev1.ResourceCPU:    *resource.NewMilliQuantity(usualMilliCPU, resource.DecimalSI),
	corev1.ResourceMemory: *resource.NewQuantity(usualMemory, resource.BinarySI),
}

// Pod is a pod whose wishes have been worked out once, for many looks at it. It is read-only once it is in use.
type Pod struct {
	Object *corev1.Pod
	// Family selects the pods that belong with this one, its service's or its owner's; they are spread when the
	// pod itself says nothing about spreading. Nil: none.
	Family labels.Selector
	// Volumes are the nodes that the pod's bound volumes can be reached from.
	Volumes []*nodeaffinity.NodeSelector

	requests, usual    amounts
	ports              []port
	selective          bool // has a node selector or required node affinity
	nodes              nodeaffinity.RequiredNodeAffinity
	only               []string // names of the nodes that required affinity restricts it to; nil: any
	prefers            *nodeaffinity.PreferredSchedulingTerms
	near, far          []*term // required
	nearIsh, farIsh    []weighted
	mustSpread, spread []constraint
	images             []string
}

// NewPod works out a pod. It fails where a selector cannot be parsed, which the API server's validation excludes.
func NewPod(object *corev1.Pod) (*Pod, error) {
	p := &Pod{Object: object, ports: hostPorts(object), images: imagesOf(object)}
	p.requests, p.usual = requestsOf(object)
	p.nodes = nodeaffinity.GetRequiredNodeAffinity(object)
	p.selective = len(object.Spec.NodeSelector) > 0
	if a := object.Spec.Affinity; a != nil {
		if err := p.workOutAffinity(a); err != nil {
			return nil, err
		}
	}
	return p, p.workOutSpread()
}

func (p *Pod) workOutAffinity(a *corev1.Affinity) (err error) {
	if n := a.NodeAffinity; n != nil {
		if required := n.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			p.selective, p.only = true, namedNodes(required)
		}
		if len(n.PreferredDuringSchedulingIgnoredDuringExecution) > 0 {
			if p.prefers, err = nodeaffinity.NewPreferredSchedulingTerms(n.PreferredDuringSchedulingIgnoredDuringExecution); err != nil {
				return err
			}
		}
	}
	if n := a.PodAffinity; n != nil {
		if p.near, err = termsOf(p.Object, n.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return err
		}
		if p.nearIsh, err = weightedTermsOf(p.Object, n.PreferredDuringSchedulingIgnoredDuringExecution); err != nil {
			return err
		}
	}
	if n := a.PodAntiAffinity; n != nil {
		if p.far, err = termsOf(p.Object, n.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return err
		}
		p.farIsh, err = weightedTermsOf(p.Object, n.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return err
}

// namedNodes are the nodes of a selector each of whose terms names nodes (a daemon set's pod); nil otherwise.
func namedNodes(s *corev1.NodeSelector) []string {
	var names []string
	for _, t := range s.NodeSelectorTerms {
		var named []string
		for _, f := range t.MatchFields {
			if f.Key == "metadata.name" && f.Operator == corev1.NodeSelectorOpIn {
				named = f.Values
			}
		}
		if named == nil {
			return nil
		}
		names = append(names, named...)
	}
	return names
}

// hostPorts of every container that runs with the pod.
func hostPorts(pod *corev1.Pod) []port {
	var ports []port
	take := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort <= 0 {
				continue
			}
			want := port{p.Protocol, p.HostIP, p.HostPort}
			if want.protocol == "" {
				want.protocol = corev1.ProtocolTCP
			}
			if want.address == "0.0.0.0" || want.address == "::" {
				want.address = ""
			}
			ports = append(ports, want)
		}
	}
	for i := range pod.Spec.Containers {
		take(&pod.Spec.Containers[i])
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			take(c)
		}
	}
	return ports
}

func (p *Pod) terminating() bool { return p.Object.DeletionTimestamp != nil }
