package assemble

import (
	"dhow/controller"
	"dhow/kinds/configmap"
	"dhow/kinds/deployment"
	"dhow/kinds/endpoints"
	"dhow/kinds/endpointslice"
	"dhow/kinds/node"
	"dhow/kinds/rbac"
	"dhow/kinds/replicaset"
	"dhow/kinds/serviceaccount"
)

// controllers are all that run in the server.
func controllers(c ServerConfig, rootCA []byte) []controller.Controller {
	return []controller.Controller{
		node.IPAM(c.ClusterCIDRs),
		node.Lifecycle(),
		node.TaintEviction(),
		serviceaccount.Controller(),
		configmap.RootCA(rootCA),
		rbac.AggregationController(),
		replicaset.Controller(),
		deployment.Controller(),
		endpointslice.Controller(),
		endpoints.Controller(),
	}
}
