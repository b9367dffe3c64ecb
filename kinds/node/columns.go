package node

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	info, status := corev1.NodeSystemInfo{}.SwaggerDoc(), corev1.NodeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Status", "The status of the node"),
		table.Column("Roles", "The roles of the node"),
		table.Age(),
		table.Column("Version", info["kubeletVersion"]),
		table.Wide("Internal-IP", status["addresses"]),
		table.Wide("External-IP", status["addresses"]),
		table.Wide("OS-Image", info["osImage"]),
		table.Wide("Kernel-Version", info["kernelVersion"]),
		table.Wide("Container-Runtime", info["containerRuntimeVersion"]),
	}
}

func cells(n *corev1.Node) []any {
	info := n.Status.NodeInfo
	kernel := table.Or(info.KernelVersion, "<unknown>")
	if info.Architecture != "" {
		kernel += " (" + info.Architecture + ")"
	}
	return []any{
		state(n), table.Or(roles(n), "<none>"), table.Since(n.CreationTimestamp), info.KubeletVersion,
		address(n, corev1.NodeInternalIP), address(n, corev1.NodeExternalIP),
		table.Or(info.OSImage, "<unknown>"), kernel, table.Or(info.ContainerRuntimeVersion, "<unknown>"),
	}
}

func state(n *corev1.Node) string {
	text := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		text = "NotReady"
		if c.Status == corev1.ConditionTrue {
			text = "Ready"
		}
	}
	if n.Spec.Unschedulable {
		text += ",SchedulingDisabled"
	}
	return text
}

func roles(n *corev1.Node) string {
	all := sets.Set[string]{}
	for key, value := range n.Labels {
		if role, ok := strings.CutPrefix(key, "node-role.kubernetes.io/"); ok && role != "" {
			all.Insert(role)
		}
		if key == "kubernetes.io/role" && value != "" {
			all.Insert(value)
		}
	}
	return strings.Join(sets.List(all), ",")
}

func address(n *corev1.Node, kind corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == kind {
			return a.Address
		}
	}
	return "<none>"
}
