package nodes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// rules are by resource and group.
func (r *relations) rules() map[string]rule { return r.byKind }

func rulesOf(r *relations) map[string]rule {
	return map[string]rule{
		"secrets":                          related(r.secret).read,
		"configmaps":                       related(r.configMap).read,
		"persistentvolumeclaims":           claims(r.claim),
		"persistentvolumes":                related(r.volume).get,
		"serviceaccounts":                  accounts(r.account),
		"pods":                             pods(r.pod),
		"nodes":                            nodes,
		"resourceclaims.resource.k8s.io":   related(r.resourceClaim).get,
		"resourceslices.resource.k8s.io":   slicesOf(r.resourceSlice),
		"volumeattachments.storage.k8s.io": related(r.attachment).get,
		"csinodes.storage.k8s.io":          csiNodes,
		"leases.coordination.k8s.io":       leases,
		"podcertificaterequests.certificates.k8s.io": certificates(r.certificateRequest),
	}
}

// claims: read, and tell of the growth of a volume in the status.
func claims(r related) rule {
	return func(node string, request authorizer.Attributes) (bool, string) {
		switch {
		case request.GetSubresource() != "status":
			return r.get(node, request)
		case !verb(request, "update", "patch"):
			return false, "can only get/update/patch this type"
		}
		return r.allows(node, request)
	}
}

// accounts: read, and ask for tokens; NodeRestriction sees to what those are bound to.
func accounts(r related) rule {
	return func(node string, request authorizer.Attributes) (bool, string) {
		switch {
		case verb(request, "get") && request.GetSubresource() == "":
			return r.read(node, request)
		case !verb(request, "create") || request.GetName() == "":
			return false, "can only create tokens for individual service accounts"
		case request.GetSubresource() != "token":
			return false, "can only create token subresource of serviceaccount"
		}
		return r.allows(node, request)
	}
}

func pods(r related) rule {
	return func(node string, request authorizer.Attributes) (bool, string) {
		switch request.GetSubresource() {
		case "":
			return wholePods(r, node, request)
		case "status": // of which pods, NodeRestriction knows
			return verb(request, "update", "patch"), ""
		case "eviction":
			return verb(request, "create"), ""
		}
		return false, ""
	}
}

func wholePods(r related, node string, request authorizer.Attributes) (bool, string) {
	switch request.GetVerb() {
	case "get":
		return r.get(node, request)
	case "list", "watch":
		switch {
		case selectsNode(request, "spec.nodeName", node):
			return true, ""
		case request.GetName() != "":
			return r.allows(node, request)
		}
		return false, "can only list/watch pods with spec.nodeName field selector"
	case "create", "delete": // mirror pods and the end of its own: NodeRestriction
		return true, ""
	}
	return false, ""
}

func nodes(node string, request authorizer.Attributes) (bool, string) {
	switch request.GetSubresource() {
	case "status":
		return verb(request, "update", "patch"), ""
	case "":
	default:
		return false, ""
	}
	switch {
	case verb(request, "create", "update", "patch"): // its own only: NodeRestriction
		return true, ""
	case !verb(request, "get", "list", "watch"):
		return false, ""
	}
	switch request.GetName() {
	case node:
		return true, ""
	case "":
		return false, fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", node)
	}
	return false, fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", node, request.GetName())
}

func leases(node string, request authorizer.Attributes) (bool, string) {
	switch {
	case !verb(request, "get", "create", "update", "patch", "delete"):
		return false, "can only get, create, update, patch, or delete a node lease"
	case request.GetNamespace() != corev1.NamespaceNodeLease:
		return false, fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	case !verb(request, "create") && request.GetName() != node: // its name is not known yet on create
		return false, "can only access node lease with the same name as the requesting node"
	}
	return true, ""
}

func csiNodes(node string, request authorizer.Attributes) (bool, string) {
	switch {
	case !verb(request, "get", "create", "update", "patch", "delete"):
		return false, "can only get, create, update, patch, or delete a CSINode"
	case request.GetSubresource() != "":
		return false, "cannot authorize CSINode subresources"
	case !verb(request, "create") && request.GetName() != node:
		return false, "can only access CSINode with the same name as the requesting node"
	}
	return true, ""
}

func slicesOf(r related) rule {
	return func(node string, request authorizer.Attributes) (bool, string) {
		if request.GetSubresource() != "" {
			return false, "cannot authorize ResourceSlice subresources"
		}
		switch request.GetVerb() {
		case "create":
			return true, ""
		case "get", "update", "patch", "delete":
			return r.allows(node, request)
		case "list", "watch", "deletecollection":
			if selectsNode(request, "spec.nodeName", node) {
				return true, ""
			}
			return false, "can only list/watch/deletecollection resourceslices with nodeName field selector"
		}
		return false, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection"
	}
}

// certificates are asked for in the name of pods.
func certificates(r related) rule {
	return func(node string, request authorizer.Attributes) (bool, string) {
		if request.GetSubresource() != "" {
			return false, "nodes may not access the status subresource of PodCertificateRequests"
		}
		switch request.GetVerb() {
		case "create":
			return true, ""
		case "get":
			return r.allows(node, request)
		case "list", "watch":
			if selectsNode(request, "spec.nodeName", node) {
				return true, ""
			}
			return false, "can only list/watch podcertificaterequests with nodeName field selector"
		}
		return false, fmt.Sprintf("nodes may not %s podcertificaterequests", request.GetVerb())
	}
}
