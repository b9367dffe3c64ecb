package resourceclaim

import (
	"context"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

func claims(c Config) apiserver.Kind {
	return apiserver.Define[*resourcev1.ResourceClaim, *resourcev1.ResourceClaimList](gv,
		apiserver.Names{Kind: "ResourceClaim", Resource: "resourceclaims"},
		apiserver.Rules[*resourcev1.ResourceClaim]{
			NoGeneration:     true,
			Default:          func(r *resourcev1.ResourceClaim) { defaultClaim(&r.Spec) },
			PrepareForCreate: func(_ context.Context, r *resourcev1.ResourceClaim) { dropFromClaim(&r.Spec) },
			PrepareForUpdate: func(_ context.Context, r, _ *resourcev1.ResourceClaim) { dropFromClaim(&r.Spec) },
			Validate: func(ctx context.Context, r *resourcev1.ResourceClaim) field.ErrorList {
				var v claimCheck
				v.Add(c.adminRequested(ctx, r.Namespace, r.Spec.Devices.Requests)...)
				v.spec(field.NewPath("spec", "devices"), &r.Spec.Devices)
				return v.Errors()
			},
			ValidateUpdate: func(_ context.Context, r, old *resourcev1.ResourceClaim) field.ErrorList {
				var v check.List
				v.Immutable(field.NewPath("spec"), r.Spec, old.Spec)
				return v.Errors()
			},
			HasStatus: true,
			PrepareForStatus: func(_ context.Context, r, old *resourcev1.ResourceClaim) {
				metav1.ResetObjectMetaForStatus(r, old)
				dropFromAllocation(r.Status.Allocation)
				dropReleased(&r.Status, &old.Status)
			},
			ValidateStatusUpdate: func(ctx context.Context, r, old *resourcev1.ResourceClaim) field.ErrorList {
				return append(c.statusRights(ctx, r, old), validateStatus(r, old)...)
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("State", "A summary of the current state (allocated, pending, reserved, etc.)."), table.Age(),
			},
			Cells: func(r *resourcev1.ResourceClaim) []any { return []any{state(r), table.Since(r.CreationTimestamp)} },
		})
}

func state(r *resourcev1.ResourceClaim) string {
	var all []string
	if r.DeletionTimestamp != nil {
		all = append(all, "deleted")
	}
	switch {
	case r.Status.Allocation != nil:
		all = append(all, "allocated")
		if len(r.Status.ReservedFor) > 0 {
			all = append(all, "reserved")
		}
	case r.DeletionTimestamp == nil:
		all = append(all, "pending")
	}
	return strings.Join(all, ",")
}

// defaultClaim: where nothing is said, one device of each request.
func defaultClaim(s *resourcev1.ResourceClaimSpec) {
	for i := range s.Devices.Requests {
		r := &s.Devices.Requests[i]
		if e := r.Exactly; e != nil {
			defaultCount(&e.AllocationMode, &e.Count)
		}
		for j := range r.FirstAvailable {
			defaultCount(&r.FirstAvailable[j].AllocationMode, &r.FirstAvailable[j].Count)
		}
	}
}

func defaultCount(mode *resourcev1.DeviceAllocationMode, n *int64) {
	if *mode == "" {
		*mode = resourcev1.DeviceAllocationModeExactCount
	}
	if *mode == resourcev1.DeviceAllocationModeExactCount && *n == 0 {
		*n = 1
	}
}

// deviceID names one device, or a share of one.
type deviceID struct{ driver, pool, device, share string }

// String is how messages name it.
func (d deviceID) String() string {
	text := d.driver + "/" + d.pool + "/" + d.device
	if d.share != "" {
		text += "/" + d.share
	}
	return text
}

func resultID(r *resourcev1.DeviceRequestAllocationResult) deviceID {
	return deviceID{r.Driver, r.Pool, r.Device, string(table.Value((*types.UID)(r.ShareID)))}
}

func statusID(d *resourcev1.AllocatedDeviceStatus) deviceID {
	return deviceID{d.Driver, d.Pool, d.Device, table.Value(d.ShareID)}
}

// allocated are the devices of an allocation, which may be nil.
func allocated(a *resourcev1.AllocationResult) map[deviceID]bool {
	all := map[deviceID]bool{}
	if a == nil {
		return all
	}
	for i := range a.Devices.Results {
		all[resultID(&a.Devices.Results[i])] = true
	}
	return all
}

// dropReleased forgets the statuses of devices that are no longer allocated, for writers who do not know of them.
func dropReleased(s, old *resourcev1.ResourceClaimStatus) {
	before, now := allocated(old.Allocation), allocated(s.Allocation)
	var kept []resourcev1.AllocatedDeviceStatus
	for i := range s.Devices {
		if id := statusID(&s.Devices[i]); !before[id] || now[id] {
			kept = append(kept, s.Devices[i])
		}
	}
	s.Devices = kept
}
