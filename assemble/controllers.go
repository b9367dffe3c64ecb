package assemble

import (
	"k8s.io/client-go/metadata"

	"dhow/controller"
	"dhow/kinds/configmap"
	"dhow/kinds/deployment"
	"dhow/kinds/endpoints"
	"dhow/kinds/endpointslice"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/rbac"
	"dhow/kinds/replicaset"
	"dhow/kinds/resourcequota"
	"dhow/kinds/serviceaccount"
)

// controllers are all that run in the server.
func (s *server) controllers() ([]controller.Controller, error) {
	content, err := metadata.NewForConfig(s.api.ClientConfig(controller.User(namespace.ControllerName)))
	if err != nil {
		return nil, err
	}
	return []controller.Controller{
		namespace.Controller(content),
		node.IPAM(s.config.ClusterCIDRs),
		node.Lifecycle(),
		node.TaintEviction(),
		serviceaccount.Controller(),
		configmap.RootCA(s.identity.CA.PEM),
		rbac.AggregationController(),
		replicaset.Controller(),
		deployment.Controller(),
		endpointslice.Controller(),
		endpoints.Controller(),
		endpointslice.Mirroring(),
		pod.Controller(),
		resourcequota.Controller(),
	}, nil
}
