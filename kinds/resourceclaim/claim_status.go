package resourceclaim

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	resourcev1 "k8s.io/api/resource/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// validateStatus checks what schedulers and drivers say of a claim.
func validateStatus(r, old *resourcev1.ResourceClaim) field.ErrorList {
	c := &claimCheck{}
	c.gather(&r.Spec.Devices)
	status, at := &r.Status, field.NewPath("status")
	set(&c.list, at.Child("reservedFor"), status.ReservedFor, resourcev1.ResourceClaimReservedForMaxSize,
		func(u *resourcev1.ResourceClaimConsumerReference) types.UID { return u.UID }, c.consumer)
	given := allocated(status.Allocation)
	set(&c.list, at.Child("devices"), status.Devices, -1, func(d *resourcev1.AllocatedDeviceStatus) string { return statusID(d).String() },
		func(at *field.Path, d *resourcev1.AllocatedDeviceStatus) { c.device(at, d, given) })
	c.reserved(at.Child("reservedFor"), r, old)
	switch {
	case status.Allocation == nil:
	case old.Status.Allocation != nil: // rules have become tighter: what is there is not checked again
		c.Immutable(at.Child("allocation"), status.Allocation, old.Status.Allocation)
	default:
		c.allocation(at.Child("allocation"), status.Allocation)
	}
	return c.Errors()
}

func (c *claimCheck) consumer(at *field.Path, u *resourcev1.ResourceClaimConsumerReference) {
	c.NonEmpty(at.Child("resource"), u.Resource)
	c.NonEmpty(at.Child("name"), u.Name)
	c.NonEmpty(at.Child("uid"), string(u.UID))
}

// reserved: only what is allocated can be used, and what goes gets no new users.
func (c *claimCheck) reserved(at *field.Path, r, old *resourcev1.ResourceClaim) {
	users := r.Status.ReservedFor
	if len(users) == 0 {
		return
	}
	if r.Status.Allocation == nil {
		c.Forbidden(at, "may not be specified when `allocated` is not set")
		return
	}
	before := map[resourcev1.ResourceClaimConsumerReference]bool{}
	for _, u := range old.Status.ReservedFor {
		before[u] = true
	}
	for _, u := range users {
		if r.DeletionTimestamp != nil && !before[u] {
			c.Forbidden(at, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set")
			return
		}
	}
}

func (c *claimCheck) allocation(at *field.Path, a *resourcev1.AllocationResult) {
	devices := at.Child("devices")
	each(&c.list, devices.Child("results"), a.Devices.Results, resourcev1.AllocationResultsMaxSize, c.result)
	each(&c.list, devices.Child("config"), a.Devices.Config, 2*resourcev1.DeviceConfigMaxSize, // the class's and the claim's
		func(at *field.Path, config *resourcev1.DeviceAllocationConfiguration) {
			check.OneOf(&c.List, at.Child("source"), config.Source, resourcev1.AllocationConfigSourceClaim, resourcev1.AllocationConfigSourceClass)
			c.references(at.Child("requests"), config.Requests)
			c.configuration(at, &config.DeviceConfiguration, false)
		})
	if a.NodeSelector != nil {
		c.NodeSelector(at.Child("nodeSelector"), a.NodeSelector, false)
	}
}

func (c *claimCheck) result(at *field.Path, r *resourcev1.DeviceRequestAllocationResult) {
	c.reference(at.Child("request"), r.Request)
	c.driver(at.Child("driver"), r.Driver)
	c.pool(at.Child("pool"), r.Pool)
	c.Label(at.Child("device"), r.Device)
	c.bindingConditions(at, r.BindingConditions, r.BindingFailureConditions)
	if r.ShareID != nil {
		c.uid(at.Child("shareID"), string(*r.ShareID))
	}
}

func (l *list) uid(at *field.Path, id string) {
	if err := uuid.Validate(id); err != nil {
		l.Invalid(at, id, fmt.Sprintf("error validating uid: %v", err))
	} else if len(id) != 36 || id != strings.ToLower(id) {
		l.Invalid(at, id, "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters")
	}
}

func (c *claimCheck) device(at *field.Path, d *resourcev1.AllocatedDeviceStatus, given map[deviceID]bool) {
	c.driver(at.Child("driver"), d.Driver)
	c.pool(at.Child("pool"), d.Pool)
	c.Label(at.Child("device"), d.Device)
	if d.ShareID != nil {
		c.uid(at.Child("shareID"), *d.ShareID)
	}
	if id := statusID(d); !given[id] {
		c.Invalid(at, id.String(), "must be an allocated device in the claim")
	}
	conditions := at.Child("conditions")
	if len(d.Conditions) > resourcev1.AllocatedDeviceStatusMaxConditions {
		c.Add(field.TooMany(conditions, len(d.Conditions), resourcev1.AllocatedDeviceStatusMaxConditions))
	}
	c.Add(unversioned.ValidateConditions(d.Conditions, conditions)...)
	if d.Data != nil && len(d.Data.Raw) > 0 {
		c.object(at.Child("data"), *d.Data, false, resourcev1.AllocatedDeviceStatusDataMaxLength)
	}
	c.network(at.Child("networkData"), d.NetworkData)
}

func (c *claimCheck) network(at *field.Path, n *resourcev1.NetworkDeviceData) {
	if n == nil {
		return
	}
	if len(n.InterfaceName) > resourcev1.NetworkDeviceDataInterfaceNameMaxLength {
		c.Add(field.TooLong(at.Child("interfaceName"), "", resourcev1.NetworkDeviceDataInterfaceNameMaxLength))
	}
	if len(n.HardwareAddress) > resourcev1.NetworkDeviceDataHardwareAddressMaxLength {
		c.Add(field.TooLong(at.Child("hardwareAddress"), "", resourcev1.NetworkDeviceDataHardwareAddressMaxLength))
	}
	set(&c.list, at.Child("ips"), n.IPs, resourcev1.NetworkDeviceDataMaxIPs, itself, func(at *field.Path, ip *string) {
		c.Add(validation.IsValidInterfaceAddress(at, *ip)...)
	})
}
