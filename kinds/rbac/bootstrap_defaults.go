package rbac

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// CoreDNSUser is the user of dhow's cluster DNS.
const CoreDNSUser = "system:coredns"

// Defaults are the roles and bindings of every cluster: upstream's of v1.36, kubeadm's for joining machines, and dhow's
// own system:coredns. What a node may do is the node authorizer's to say.
func Defaults() []runtime.Object {
	var all []runtime.Object
	for _, r := range append(userRoles(), componentRoles()...) {
		all = append(all, r)
	}
	for _, b := range clusterBindings() {
		all = append(all, b)
	}
	return marked(append(all, namespacedDefaults()...))
}

// userRoles are for people and their tools.
func userRoles() []*rbacv1.ClusterRole {
	const health = "/livez /readyz /healthz"
	return []*rbacv1.ClusterRole{
		clusterRole("cluster-admin", on("*", "*", "*"), at("*", "*")),
		clusterRole("system:discovery",
			at("get", health+" /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*")),
		clusterRole("system:monitoring",
			at("get", "/metrics /metrics/slis "+health+" /livez/* /readyz/* /healthz/* /flagz /statusz"),
			on("get", "core", "nodes/metrics")),
		clusterRole("system:basic-user",
			on("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
			on("create", "authentication.k8s.io", "selfsubjectreviews")),
		clusterRole("system:public-info-viewer", at("get", health+" /version /version/")),
		gathers(clusterRole("admin")),
		joins("admin", gathers(clusterRole("edit"))),
		joins("edit", gathers(clusterRole("view"))),
		joins("admin", clusterRole("system:aggregate-to-admin",
			on("create", "authorization.k8s.io", "localsubjectaccessreviews"),
			on(readWrite, rbacv1.GroupName, "roles rolebindings"))),
		joins("edit", clusterRole("system:aggregate-to-edit", editRules()...)),
		joins("view", clusterRole("system:aggregate-to-view", viewRules()...)),
	}
}

func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on(read, "core", "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status"+
			" endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps"),
		on(read, "core", "limitranges resourcequotas bindings pods/status resourcequotas/status namespaces/status"+
			" replicationcontrollers/status pods/log"),
		on(read, "core", "namespaces"), // in a namespace: that one
		on(read, "core events.k8s.io", "events"),
		on(read, "discovery.k8s.io", "endpointslices"),
		on(read, "apps", "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status"+
			" deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale"),
		on(read, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
		on(read, "batch", "jobs cronjobs cronjobs/status jobs/status"),
		on(read, "extensions", "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses"+
			" ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies"),
		on(read, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
		on(read, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
		on(read, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
	}
}

func editRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		on(read, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
		on("impersonate", "core", "serviceaccounts"),
		on(write, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
		on("create", "core", "pods/eviction"),
		on(write, "core", "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy"+
			" persistentvolumeclaims configmaps secrets"),
		on("create", "core", "serviceaccounts/token"),
		on(write, "core events.k8s.io", "events"),
		on(write, "apps", "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback"+
			" replicasets replicasets/scale"),
		on(write, "autoscaling", "horizontalpodautoscalers"),
		on(write, "batch", "jobs cronjobs"),
		on(write, "extensions", "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets"+
			" replicasets/scale replicationcontrollers/scale networkpolicies"),
		on(write, "policy", "poddisruptionbudgets"),
		on(write, "networking.k8s.io", "networkpolicies ingresses"),
		on(readWrite, "coordination.k8s.io", "leases"),
		on(write, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
	}
}

func clusterBindings() []*rbacv1.ClusterRoleBinding {
	everybody := group(user.AllAuthenticated)
	return []*rbacv1.ClusterRoleBinding{
		bound("cluster-admin", group(user.SystemPrivilegedGroup)),
		bound("system:monitoring", group(user.MonitoringGroup)),
		bound("system:discovery", everybody),
		bound("system:basic-user", everybody),
		bound("system:public-info-viewer", everybody, group(user.AllUnauthenticated)),
		bound("system:node"), // to nobody: the node authorizer allows each node its own
		bound("system:node-proxier", username(user.KubeProxy)),
		bound("system:kube-controller-manager", username(user.KubeControllerManager)),
		bound("system:kube-dns", account("kube-dns")),
		bound("system:kube-scheduler", username(user.KubeScheduler)),
		bound("system:volume-scheduler", username(user.KubeScheduler)),
		bound(CoreDNSUser, username(CoreDNSUser)),
		bound("system:service-account-issuer-discovery", group(serviceaccount.AllServiceAccountsGroup)),
		bound("system:cluster-trust-bundle-discovery", group(serviceaccount.AllServiceAccountsGroup)),
	}
}

func namespacedDefaults() []runtime.Object {
	const (
		system, public = metav1.NamespaceSystem, metav1.NamespacePublic
		authReader     = "extension-apiserver-authentication-reader"
		lockManager    = "system::leader-locking-kube-controller-manager"
		lockScheduler  = "system::leader-locking-kube-scheduler"
		cloud          = "system:controller:cloud-provider"
		signer         = "system:controller:bootstrap-signer"
		cleaner        = "system:controller:token-cleaner"
		clusterInfo    = "kubeadm:bootstrap-signer-clusterinfo" // as kubeadm, which joining machines expect
	)
	lock := on("get watch list create update", "coordination.k8s.io", "leases leasecandidates")
	return []runtime.Object{
		role(system, authReader, on(read, "core", "configmaps", "extension-apiserver-authentication")),
		role(system, signer, on(read, "core", "secrets")),
		role(system, cleaner, on(read+" delete", "core", "secrets"), events()),
		role(system, cloud, on(read+" create", "core", "configmaps")),
		role(system, lockManager, lock),
		role(system, lockScheduler, lock),
		role(public, signer, on(read, "core", "configmaps"), on("update", "core", "configmaps", "cluster-info"), events()),
		role(public, clusterInfo, on("get", "core", "configmaps", "cluster-info")),
		role(system, CoreDNSUser, // it publishes each node's address, and reads its Corefile
			on(read, "core", "configmaps", "coredns"),
			on("create", "core", "configmaps"),
			on(read+" create update patch delete", "discovery.k8s.io", "endpointslices"),
			on("get create update patch", "core", "services"),
			events()),

		boundIn(system, "system::"+authReader, authReader, username(user.KubeControllerManager), username(user.KubeScheduler)),
		boundIn(system, lockManager, lockManager, username(user.KubeControllerManager), account("kube-controller-manager"), account("leader-election-controller")),
		boundIn(system, lockScheduler, lockScheduler, username(user.KubeScheduler), account("kube-scheduler")),
		boundIn(system, signer, signer, account("bootstrap-signer")),
		boundIn(system, cleaner, cleaner, account("token-cleaner")),
		boundIn(system, cloud, cloud, account("cloud-provider")),
		boundIn(public, signer, signer, account("bootstrap-signer")),
		boundIn(public, clusterInfo, clusterInfo, username(user.Anonymous)),
		boundIn(system, CoreDNSUser, CoreDNSUser, username(CoreDNSUser)),
	}
}

// approvals maps roles for approvers of certificates to the signer that they may approve for.
var approvals = map[string]string{
	"kubelet-serving-approver":               certificatesv1.KubeletServingSignerName,
	"kube-apiserver-client-approver":         certificatesv1.KubeAPIServerClientSignerName,
	"kube-apiserver-client-kubelet-approver": certificatesv1.KubeAPIServerClientKubeletSignerName,
	"legacy-unknown-approver":                "kubernetes.io/legacy-unknown",
}
