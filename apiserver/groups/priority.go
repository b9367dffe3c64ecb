package groups

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// Priority is the place of a group among all, and of a version within its group: higher comes first.
type Priority struct {
	Group, Version int32
}

// OfCustom is the priority of custom resources.
var OfCustom = Priority{1000, 100}

// ofGroups are the priorities of the groups of the server's own kinds. They are Kubernetes': APIServices show them, and
// a name that two groups have, such as "events", means the one that comes first.
var ofGroups = map[string]int32{
	"apiregistration.k8s.io": 20000, "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700,
	"authorization.k8s.io": 17600, "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200,
	"policy": 17100, "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
	"admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300,
	"discovery.k8s.io": 16200, "resource.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100, "internal.apiserver.k8s.io": 16000,
	"storagemigration.k8s.io": 15800,
}

// exceptions are versions whose priority does not follow from their name.
var exceptions = map[schema.GroupVersion]int32{
	{Version: "v1"}:                           1,
	{Group: "autoscaling", Version: "v2"}:     30,
	{Group: "resource.k8s.io", Version: "v1"}: 21, {Group: "resource.k8s.io", Version: "v1beta2"}: 15,
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1"}:      21,
	{Group: "admissionregistration.k8s.io", Version: "v1beta1"}: 12, {Group: "coordination.k8s.io", Version: "v1beta1"}: 13,
}

// Of is the priority of a version of the server's own kinds.
func Of(gv schema.GroupVersion) Priority {
	p := Priority{Group: ofGroups[gv.Group], Version: exceptions[gv]}
	if p.Group == 0 {
		p.Group = 15000
	}
	if p.Version == 0 {
		p.Version = 9
		if version.CompareKubeAwareVersionStrings(gv.Version, "v1") >= 0 {
			p.Version = 15
		}
	}
	return p
}
