//go:build !nocluster

package assemble

import (
	"maps"

	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"

	"dhow/apiserver"
	"dhow/apiserver/connect"
	"dhow/apiserver/token"
	"dhow/identity"
	"dhow/kinds/admissionregistration"
	"dhow/kinds/apiservice"
	"dhow/kinds/certificate"
	"dhow/kinds/configmap"
	"dhow/kinds/controllerrevision"
	"dhow/kinds/cronjob"
	"dhow/kinds/csi"
	"dhow/kinds/daemonset"
	"dhow/kinds/deployment"
	"dhow/kinds/endpoints"
	"dhow/kinds/endpointslice"
	"dhow/kinds/event"
	"dhow/kinds/flowcontrol"
	"dhow/kinds/horizontalpodautoscaler"
	"dhow/kinds/ingress"
	"dhow/kinds/ingressclass"
	"dhow/kinds/job"
	"dhow/kinds/lease"
	"dhow/kinds/limitrange"
	"dhow/kinds/namespace"
	"dhow/kinds/networkpolicy"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolume"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	"dhow/kinds/poddisruptionbudget"
	"dhow/kinds/podtemplate"
	"dhow/kinds/priorityclass"
	"dhow/kinds/rbac"
	"dhow/kinds/replicaset"
	"dhow/kinds/replicationcontroller"
	"dhow/kinds/resourceclaim"
	"dhow/kinds/resourcequota"
	"dhow/kinds/runtimeclass"
	"dhow/kinds/secret"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/servicecidr"
	"dhow/kinds/statefulset"
	"dhow/kinds/storageclass"
	"dhow/kinds/storageversionmigration"
)

// kinds are all that the API serves. client and shared are called when the server runs; guard is the hook of roles.
func kinds(c ServerConfig, id *identity.Identity, client func() kubernetes.Interface, shared func() informers.SharedInformerFactory,
	guard func(*genericregistry.Store),
) ([]apiserver.Kind, error) {
	nodes, err := connect.NewNodes(id, client)
	if err != nil {
		return nil, err
	}
	services, err := service.Kind(service.Config{
		CIDRs: c.ServiceCIDRs, FirstNodePort: int32(c.NodePorts[0]), LastNodePort: int32(c.NodePorts[1]),
		Connectors: connect.Services(client), Plan: servicecidr.View{Informers: shared},
	})
	if err != nil {
		return nil, err
	}
	connectors := map[string]pod.Subresource{}
	maps.Copy(connectors, connect.Pods(nodes))
	all := []apiserver.Kind{
		namespace.Kind(),
		node.Kind(node.Config{Connectors: connect.NodeProxy(nodes)}),
		pod.Kind(pod.Config{
			Connectors: connectors,
			Budgets:    func() policyclient.PodDisruptionBudgetsGetter { return client().PolicyV1() },
		}),
		services,
		endpoints.Kind(),
		configmap.Kind(),
		secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{
			Issuer: token.NewMaker(id.ServiceAccountKeys, c.ServiceAccounts.Options), Client: client,
			MaxExpiration: c.ServiceAccounts.MaxExpiration, NoExtension: c.ServiceAccounts.NoExtension,
		}),
		event.Kind(),
		deployment.Kind(),
		replicaset.Kind(),
		statefulset.Kind(),
		daemonset.Kind(),
		endpointslice.Kind(),
		lease.Kind(),
		apiservice.Kind(),
		priorityclass.Kind(),
		ingress.Kind(),
		ingressclass.Kind(),
		networkpolicy.Kind(),
		job.Kind(),
		cronjob.Kind(),
		persistentvolume.Kind(),
		persistentvolumeclaim.Kind(),
		storageclass.Kind(),
		replicationcontroller.Kind(),
		controllerrevision.Kind(),
		podtemplate.Kind(),
		poddisruptionbudget.Kind(),
		limitrange.Kind(),
		resourcequota.Kind(),
		runtimeclass.Kind(),
		horizontalpodautoscaler.Kind(),
		storageversionmigration.Kind(),
	}
	all = append(all, csi.Kinds()...)
	all = append(all, rbac.Kinds(guard)...)
	all = append(all, admissionregistration.Kinds()...)
	all = append(all, flowcontrol.Kinds()...)
	all = append(all, servicecidr.Kinds()...)
	all = append(all, certificate.Kinds()...)
	all = append(all, resourceclaim.Kinds(resourceclaim.Config{Client: client})...)
	return all, nil
}
