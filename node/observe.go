package node

import (
	"cmp"
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// observed is what the runtime has of one pod.
type observed struct {
	sandbox    *cri.PodSandboxStatus // the newest that is ready, or the newest; nil when there is none
	others     []string              // older sandboxes
	containers map[string][]instance // by container name, newest first
}

// instance is one start of a container.
type instance struct {
	*cri.ContainerStatus
	sandbox string
}

func (i *instance) running() bool { return i != nil && i.State == cri.ContainerState_CONTAINER_RUNNING }

func (i *instance) exited() bool { return i != nil && i.State == cri.ContainerState_CONTAINER_EXITED }

func (i *instance) attempt() uint32 { return i.Metadata.GetAttempt() }

// observe asks the runtime about a pod.
func (n *Node) observe(ctx context.Context, uid types.UID) (*observed, error) {
	labels := map[string]string{labelPodUID: string(uid)}
	sandboxes, err := n.config.Runtime.ListPodSandbox(ctx, &cri.PodSandboxFilter{LabelSelector: labels})
	if err != nil {
		return nil, err
	}
	o := &observed{containers: map[string][]instance{}}
	slices.SortFunc(sandboxes, func(a, b *cri.PodSandbox) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(b.CreatedAt, a.CreatedAt)) // ready is 0
	})
	for i, s := range sandboxes {
		if i > 0 {
			o.others = append(o.others, s.Id)
			continue
		}
		o.sandbox, err = n.config.Runtime.PodSandboxStatus(ctx, s.Id)
		if errors.Is(err, container.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return o, n.observeContainers(ctx, o, labels)
}

func (n *Node) observeContainers(ctx context.Context, o *observed, labels map[string]string) error {
	list, err := n.config.Runtime.ListContainers(ctx, &cri.ContainerFilter{LabelSelector: labels})
	if err != nil {
		return err
	}
	for _, c := range list {
		status, err := n.config.Runtime.ContainerStatus(ctx, c.Id)
		if errors.Is(err, container.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		name := c.Labels[labelContainerName]
		o.containers[name] = append(o.containers[name], instance{status, c.PodSandboxId})
	}
	for _, instances := range o.containers {
		slices.SortFunc(instances, func(a, b instance) int { return cmp.Compare(b.attempt(), a.attempt()) })
	}
	return nil
}

func (o *observed) ready() bool {
	return o.sandbox != nil && o.sandbox.State == cri.PodSandboxState_SANDBOX_READY
}

// latest is a container's newest instance, nil when it was never made.
func (o *observed) latest(name string) *instance {
	if list := o.containers[name]; len(list) > 0 {
		return &list[0]
	}
	return nil
}

// current is the newest instance in the present sandbox.
func (o *observed) current(name string) *instance {
	if i := o.latest(name); i != nil && o.sandbox != nil && i.sandbox == o.sandbox.Id {
		return i
	}
	return nil
}

// previous is the one that ended before the newest.
func (o *observed) previous(name string) *instance {
	if list := o.containers[name]; len(list) > 1 {
		return &list[1]
	}
	return nil
}

// anyRunning are the instances that run, of all sandboxes.
func (o *observed) anyRunning() []*instance {
	var all []*instance
	for _, list := range o.containers {
		for i := range list {
			if list[i].running() {
				all = append(all, &list[i])
			}
		}
	}
	return all
}

// ips are the pod's addresses: its own, or the node's.
func (n *Node) ips(pod *corev1.Pod, o *observed) []string {
	if pod.Spec.HostNetwork {
		return n.hostIPs()
	}
	if o.sandbox == nil || o.sandbox.Network.GetIp() == "" {
		return nil
	}
	ips := []string{o.sandbox.Network.Ip}
	for _, more := range o.sandbox.Network.AdditionalIps {
		ips = append(ips, more.Ip)
	}
	return ips
}
