//go:build !nocluster

package assemble

import (
	"k8s.io/client-go/metadata"

	"dhow/apiserver/token"
	"dhow/controller"
	"dhow/identity"
	"dhow/kinds/admissionregistration"
	"dhow/kinds/certificate/issue"
	"dhow/kinds/configmap"
	"dhow/kinds/csi"
	"dhow/kinds/deployment"
	"dhow/kinds/endpoints"
	"dhow/kinds/endpointslice"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolume"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	"dhow/kinds/rbac"
	"dhow/kinds/replicaset"
	"dhow/kinds/replicationcontroller"
	"dhow/kinds/resourcequota"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/servicecidr"
	"dhow/kinds/storageversionmigration"
)

// controllers are all that run in the server. content lists and deletes objects of any kind.
func controllers(c ServerConfig, id *identity.Identity, content metadata.Interface) []controller.Controller {
	ca := id.CA
	return []controller.Controller{
		namespace.Controller(content),
		node.IPAM(c.ClusterCIDRs),
		node.Lifecycle(),
		node.TaintEviction(),
		serviceaccount.Controller(),
		serviceaccount.TokenSecrets(token.NewMaker(id.ServiceAccountKeys, c.ServiceAccounts.Options), ca.PEM),
		serviceaccount.LegacyTokenTracking(),
		serviceaccount.LegacyTokenCleaner(),
		secret.TokenCleaner(),
		configmap.BootstrapSigner(),
		configmap.RootCA(ca.PEM),
		rbac.AggregationController(),
		replicaset.Controller(),
		replicationcontroller.Controller(),
		deployment.Controller(),
		endpointslice.Controller(),
		endpoints.Controller(),
		endpointslice.Mirroring(),
		pod.Controller(),
		resourcequota.Controller(),
		admissionregistration.Controller(),
		servicecidr.Controller(),
		servicecidr.Allocations(),
		persistentvolumeclaim.Protection(),
		persistentvolume.Protection(),
		csi.Protection(),
		issue.Approving(),
		issue.Signing(ca),
		issue.Cleaning(),
		issue.PodCleaning(),
		issue.Publishing(ca.PEM),
		storageversionmigration.Controller(),
	}
}
