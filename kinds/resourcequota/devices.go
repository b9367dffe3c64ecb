package resourcequota

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
)

var (
	deviceClaims     = resourcev1.Resource("resourceclaims")
	deviceClaimCount = generic.ObjectCountQuotaResourceNameFor(deviceClaims)
)

// deviceMeasure counts ResourceClaims, and the devices of each class that they may get:
// gpu.deviceclass.resource.k8s.io/devices.
func deviceMeasure(list generic.ListFuncByNamespace) quota.Evaluator {
	return &measure{
		resource: deviceClaims, list: list, matching: matchingDeviceNames,
		handles: func(a admission.Attributes) bool { return a.GetSubresource() == "" && createOrUpdate(a) },
		usage: func(obj runtime.Object) (corev1.ResourceList, error) {
			claim, err := as[*resourcev1.ResourceClaim](obj)
			if err != nil {
				return nil, err
			}
			return deviceUse(claim), nil
		},
	}
}

func matchingDeviceNames(names []corev1.ResourceName) []corev1.ResourceName {
	var matching []corev1.ResourceName
	for _, name := range names {
		if name == deviceClaimCount || strings.HasSuffix(string(name), corev1.ResourceClaimsPerClass) {
			matching = append(matching, name)
		}
	}
	return matching
}

// deviceUse is the most that a claim may get of each class.
func deviceUse(claim *resourcev1.ResourceClaim) corev1.ResourceList {
	devices := map[string]int64{}
	for _, request := range claim.Spec.Devices.Requests {
		most := map[string]int64{} // of the alternatives, only one comes true
		for _, alternative := range request.FirstAvailable {
			class := alternative.DeviceClassName
			most[class] = max(most[class], devicesOf(alternative.AllocationMode, alternative.Count))
		}
		if exact := request.Exactly; exact != nil {
			most[exact.DeviceClassName] = devicesOf(exact.AllocationMode, exact.Count)
		}
		for class, n := range most {
			devices[class] += n
		}
	}
	use := corev1.ResourceList{deviceClaimCount: one()}
	for class, n := range devices {
		use[corev1.ResourceName(class+corev1.ResourceClaimsPerClass)] = *resource.NewQuantity(n, resource.DecimalSI)
	}
	return use
}

func devicesOf(mode resourcev1.DeviceAllocationMode, count int64) int64 {
	switch mode {
	case resourcev1.DeviceAllocationModeExactCount:
		return count
	case resourcev1.DeviceAllocationModeAll:
		return resourcev1.AllocationResultsMaxSize
	}
	return 0
}
