package rbac

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// componentRoles are for the parts of a cluster, ours and those that people install.
func componentRoles() []*rbacv1.ClusterRole {
	const (
		certificates = "certificates.k8s.io"
		requests     = "certificatesigningrequests"
		storage      = "storage.k8s.io"
	)
	review := on("create", "authentication.k8s.io", "tokenreviews")
	access := on("create", "authorization.k8s.io", "subjectaccessreviews")
	roles := []*rbacv1.ClusterRole{
		clusterRole("system:node", nodeRules()...),
		clusterRole("system:node-problem-detector", on("get", "core", "nodes"), on("patch", "core", "nodes/status"), events()),
		clusterRole("system:node-bootstrapper", on("create get list watch", certificates, requests)),
		clusterRole("system:auth-delegator", review, access),
		clusterRole("system:kube-aggregator", on(read, "core", "services endpoints")),
		clusterRole("system:heapster", on(read, "core", "events pods nodes namespaces"), on(read, "extensions", "deployments")),
		clusterRole("system:kube-dns", on("list watch", "core", "endpoints services")),
		clusterRole(CoreDNSUser,
			on("list watch", "core", "endpoints services pods namespaces"),
			on("list watch", "discovery.k8s.io", "endpointslices"),
			on(read, "core", "nodes")),
		clusterRole("system:kube-controller-manager", events(),
			on("create", "coordination.k8s.io", "leases"),
			on("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
			on("create", "core", "secrets serviceaccounts"),
			on("delete", "core", "secrets"),
			on("get", "core", "namespaces secrets serviceaccounts configmaps"),
			on("update", "core", "secrets serviceaccounts"),
			review, access,
			on("list watch", "*", "*"),
			on("create", "core", "serviceaccounts/token")),
		clusterRole("system:kube-scheduler", schedulerRules()...),
		clusterRole("system:volume-scheduler",
			on("get list watch update patch", "core", "persistentvolumes"),
			on(read, storage, "storageclasses"),
			on("get list watch update patch", "core", "persistentvolumeclaims")),
		clusterRole("system:persistent-volume-provisioner",
			on("get list watch create delete", "core", "persistentvolumes"),
			on("get list watch update", "core", "persistentvolumeclaims"),
			on(read, storage, "storageclasses"),
			on("watch", "core", "events"), events()),
		clusterRole("system:kubelet-api-admin",
			on(read, "core", "nodes"), on("proxy", "core", "nodes"),
			on("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log nodes/pods nodes/healthz nodes/configz")),
		clusterRole("system:node-proxier",
			on("list watch", "core", "services endpoints"), on(read, "core", "nodes"), events(),
			on("list watch", "networking.k8s.io", "servicecidrs"), on("list watch", "discovery.k8s.io", "endpointslices")),
		clusterRole("system:service-account-issuer-discovery", at("get", "/.well-known/openid-configuration"+
			" /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/")),
		clusterRole("system:cluster-trust-bundle-discovery", on(read, certificates, "clustertrustbundles")),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:nodeclient", on("create", certificates, requests+"/nodeclient")),
		clusterRole("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", on("create", certificates, requests+"/selfnodeclient")),
	}
	for name, signer := range approvals {
		roles = append(roles, clusterRole("system:certificates.k8s.io:"+name, on("approve", certificates, "signers", signer)))
	}
	return roles
}

// nodeRules are what a node agent needs to run pods.
func nodeRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on("create", "authentication.k8s.io", "tokenreviews"),
		on("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
		on(read, "core", "services"),
		on("create get list watch", "core", "nodes"),
		on("update patch", "core", "nodes/status"),
		on("update patch", "core", "nodes"),
		on("create update patch", "core events.k8s.io", "events"),
		on(read, "core", "pods"),
		on("create delete", "core", "pods"),
		on("update patch", "core", "pods/status"),
		on("create", "core", "pods/eviction"),
		on(read, "core", "secrets configmaps"),
		on("get", "core", "persistentvolumeclaims persistentvolumes"),
		on("get", "core", "endpoints"),
		on("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
		on("get create update patch delete", "coordination.k8s.io", "leases"),
		on("get", "storage.k8s.io", "volumeattachments"),
		on("create", "core", "serviceaccounts/token"),
		on("get update patch", "core", "persistentvolumeclaims/status"),
		on(read, "storage.k8s.io", "csidrivers"),
		on("get create update patch delete", "storage.k8s.io", "csinodes"),
		on(read, "node.k8s.io", "runtimeclasses"),
		on("get", "resource.k8s.io", "resourceclaims"),
		on("deletecollection", "resource.k8s.io", "resourceslices"),
		on("get", "core", "serviceaccounts"),
		on(read, "certificates.k8s.io", "clustertrustbundles"),
		on(read+" create", "certificates.k8s.io", "podcertificaterequests"),
	}
}

// NodeAllows is what all nodes may do alike; the node authorizer asks it about what is not a node's own.
func NodeAllows() func(authorizer.Attributes) bool {
	rules := nodeRules()
	return func(request authorizer.Attributes) bool {
		return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return allows(&r, request) })
	}
}

func schedulerRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		events(),
		on("create", "coordination.k8s.io", "leases"),
		on("get update list watch", "coordination.k8s.io", "leases", "kube-scheduler"),
		on(readWrite, "coordination.k8s.io", "leasecandidates"),
		on(read, "core", "nodes"),
		on("get list watch delete", "core", "pods"),
		on("create", "core", "pods/binding bindings"),
		on("patch update", "core", "pods/status"),
		on(read, "core", "services replicationcontrollers"),
		on(read, "apps extensions", "replicasets"),
		on(read, "apps", "statefulsets"),
		on(read, "policy", "poddisruptionbudgets"),
		on(read, "core", "persistentvolumeclaims persistentvolumes"),
		on("create", "authentication.k8s.io", "tokenreviews"),
		on("create", "authorization.k8s.io", "subjectaccessreviews"),
		on(read, "storage.k8s.io", "csinodes volumeattachments csidrivers csistoragecapacities"),
		on(read, "core", "namespaces"),
		on(read, "resource.k8s.io", "deviceclasses resourceslices devicetaintrules"),
		on("get list watch update patch", "resource.k8s.io", "resourceclaims resourceclaims/status"),
		on("update", "core", "pods/finalizers"),
		on("create delete", "resource.k8s.io", "resourceclaims"),
		on("update patch", "resource.k8s.io", "resourceclaims/binding"),
	}
}
