//go:build !nocluster

package assemble

import (
	"k8s.io/client-go/informers"

	"dhow/container"
	"dhow/image"
	"dhow/network"
	"dhow/proxy"
)

// The configurations of a node's parts; reset needs the same ones.

func (c ServerConfig) network() network.Config {
	return network.Config{StateDir: c.Paths.Network, ClusterCIDRs: c.ClusterCIDRs, ServiceCIDRs: c.ServiceCIDRs, Name: c.LinkName, Log: c.Log}
}

func (c ServerConfig) container(images *image.Store, pods *network.Network) container.Config {
	return container.Config{StateDir: c.Containers, CgroupParent: c.CgroupParent, Images: images, Network: pods, Log: c.Log}
}

func (c ServerConfig) proxy(f informers.SharedInformerFactory) proxy.Config {
	return proxy.Config{
		Informers: f, NodeName: c.NodeName, LoopbackNodePorts: true, ClusterCIDRs: c.ClusterCIDRs, ServiceCIDRs: c.ServiceCIDRs,
		TableName: c.LinkName + "-proxy", Log: c.Log,
	}
}
