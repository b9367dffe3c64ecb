package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// The part of the cluster's network that each node gets, by IP family.
const (
	nodeBits4 = 24
	nodeBits6 = 64
)

// IPAM gives every node addresses for its pods, out of the cluster's networks (spec.podCIDRs).
func IPAM(cluster []netip.Prefix) controller.Controller {
	return controller.Controller{
		Name:    "node-ipam-controller",
		Reads:   []controller.Read{{Object: &corev1.Node{}}},
		Writes:  []controller.Write{{Resources: []string{"nodes"}, Verbs: []string{"update"}}},
		Workers: 1, // one at a time gives out addresses
		New: func(env controller.Env) controller.Reconciler {
			return &ipam{env: env, cluster: cluster, given: map[string]types.NamespacedName{}}
		},
	}
}

type ipam struct {
	env     controller.Env
	cluster []netip.Prefix

	mu    sync.Mutex
	given map[string]types.NamespacedName // what was given and may not have come back through the watch yet
}

// Reconcile implements controller.Reconciler.
func (i *ipam) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	lister := i.env.Informers.Core().V1().Nodes().Lister()
	node, err := lister.Get(key.Name)
	if apierrors.IsNotFound(err) {
		i.release(key)
		return controller.Result{}, nil
	}
	if err != nil || len(node.Spec.PodCIDRs) > 0 {
		return controller.Result{}, err
	}
	nodes, err := lister.List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	blocks, err := i.take(key, nodes)
	if err != nil {
		i.env.Event(node, corev1.EventTypeWarning, "CIDRNotAvailable", err.Error())
		return controller.Result{}, err
	}
	node = node.DeepCopy()
	node.Spec.PodCIDR, node.Spec.PodCIDRs = blocks[0], blocks
	_, err = i.env.Client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	return controller.Result{}, err
}

// take chooses networks that no node has.
func (i *ipam) take(key types.NamespacedName, nodes []*corev1.Node) ([]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	taken := map[string]bool{}
	for block, owner := range i.given {
		taken[block] = owner != key
	}
	for _, n := range nodes {
		for _, block := range n.Spec.PodCIDRs {
			taken[block] = true
		}
	}
	blocks, err := freeBlocks(i.cluster, taken)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		i.given[block] = key
	}
	return blocks, nil
}

func (i *ipam) release(key types.NamespacedName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for block, owner := range i.given {
		if owner == key {
			delete(i.given, block)
		}
	}
}

// freeBlocks is the first block of each network that is not taken.
func freeBlocks(cluster []netip.Prefix, taken map[string]bool) ([]string, error) {
	var blocks []string
	for _, network := range cluster {
		block, err := freeBlock(network, taken)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, block.String())
	}
	if len(blocks) == 0 {
		return nil, errors.New("the cluster has no networks for pods")
	}
	return blocks, nil
}

func freeBlock(network netip.Prefix, taken map[string]bool) (netip.Prefix, error) {
	bits := nodeBits4
	if network.Addr().Is6() {
		bits = nodeBits6
	}
	bits = max(bits, network.Bits())
	for block := netip.PrefixFrom(network.Masked().Addr(), bits); network.Contains(block.Addr()); block = after(block) {
		if !taken[block.String()] {
			return block, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("network %s has no free /%d left for another node", network, bits)
}

// after is the block next to one of the same size; the zero Prefix, which no network contains, after the last.
func after(block netip.Prefix) netip.Prefix {
	bytes := block.Addr().AsSlice()
	for bit := block.Bits() - 1; bit >= 0; bit-- {
		mask := byte(1) << (7 - bit%8)
		bytes[bit/8] ^= mask
		if bytes[bit/8]&mask != 0 {
			next, _ := netip.AddrFromSlice(bytes)
			return netip.PrefixFrom(next, block.Bits())
		}
	}
	return netip.Prefix{}
}
