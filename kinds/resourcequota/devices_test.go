package resourcequota

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
)

func TestClaimsUseTheMostDevicesThatTheyMayGet(t *testing.T) {
	exactly := func(class string, n int64) resourcev1.DeviceRequest {
		return resourcev1.DeviceRequest{Exactly: &resourcev1.ExactDeviceRequest{
			DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: n,
		}}
	}
	all := resourcev1.DeviceRequest{Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "nic", AllocationMode: resourcev1.DeviceAllocationModeAll}}
	oneOf := resourcev1.DeviceRequest{FirstAvailable: []resourcev1.DeviceSubRequest{
		{DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1},
		{DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 4},
		{DeviceClassName: "tpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 2},
	}}
	claim := &resourcev1.ResourceClaim{}
	claim.Spec.Devices.Requests = []resourcev1.DeviceRequest{exactly("gpu", 2), exactly("gpu", 1), all, oneOf}
	use, err := deviceMeasure(nil).Usage(claim)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[corev1.ResourceName]int64{
		"count/resourceclaims.resource.k8s.io":         1,
		"gpu.deviceclass.resource.k8s.io/devices":      7,
		"tpu.deviceclass.resource.k8s.io/devices":      2,
		"nic.deviceclass.resource.k8s.io/devices":      resourcev1.AllocationResultsMaxSize,
		"cook.deviceclass.resource.k8s.io/devices":     0,
		"requests.storage":                             0,
		"count/resourceclaimtemplates.resource.k8s.io": 0,
	} {
		if got := use[name]; got.Value() != want {
			t.Errorf("%s: %d, want %d", name, got.Value(), want)
		}
	}
}
