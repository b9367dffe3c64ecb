package resourcequota

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	volumehelper "k8s.io/component-helpers/storage/volume"

	"dhow/api/table"
)

var (
	services     = corev1.Resource("services")
	serviceCount = generic.ObjectCountQuotaResourceNameFor(services)
	serviceNames = []corev1.ResourceName{serviceCount, corev1.ResourceServices, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers}

	claims     = corev1.Resource("persistentvolumeclaims")
	claimCount = generic.ObjectCountQuotaResourceNameFor(claims)
	claimNames = []corev1.ResourceName{corev1.ResourcePersistentVolumeClaims, corev1.ResourceRequestsStorage}
)

func createOrUpdate(a admission.Attributes) bool {
	return a.GetOperation() == admission.Create || a.GetOperation() == admission.Update
}

func serviceMeasure(list generic.ListFuncByNamespace) quota.Evaluator {
	return &measure{
		resource: services, list: list,
		matching: func(names []corev1.ResourceName) []corev1.ResourceName {
			return quota.Intersection(names, serviceNames)
		},
		handles: func(a admission.Attributes) bool { return a.GetSubresource() == "" && createOrUpdate(a) },
		usage: func(obj runtime.Object) (corev1.ResourceList, error) {
			service, err := as[*corev1.Service](obj)
			if err != nil {
				return nil, err
			}
			return serviceUse(service), nil
		},
	}
}

// serviceUse counts the node ports that a service will have: it may not have them yet.
func serviceUse(s *corev1.Service) corev1.ResourceList {
	balancers, ports := 0, 0
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
		ports = len(s.Spec.Ports)
	case corev1.ServiceTypeLoadBalancer:
		balancers, ports = 1, len(s.Spec.Ports)
		if all := s.Spec.AllocateLoadBalancerNodePorts; all != nil && !*all {
			ports = 0
			for _, p := range s.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
	}
	return corev1.ResourceList{
		serviceCount: one(), corev1.ResourceServices: one(),
		corev1.ResourceServicesLoadBalancers: *resource.NewQuantity(int64(balancers), resource.DecimalSI),
		corev1.ResourceServicesNodePorts:     *resource.NewQuantity(int64(ports), resource.DecimalSI),
	}
}

func claimMeasure(list generic.ListFuncByNamespace) quota.Evaluator {
	return &measure{
		resource: claims, list: list, matching: matchingClaimNames, handles: changesClaimUse, scope: claimInScope,
		usage: func(obj runtime.Object) (corev1.ResourceList, error) {
			claim, err := as[*corev1.PersistentVolumeClaim](obj)
			if err != nil {
				return nil, err
			}
			return claimUse(claim), nil
		},
	}
}

// ofClass is what stands between a class's name and what of it is bounded:
// gold.storageclass.storage.k8s.io/requests.storage.
const ofClass = ".storageclass.storage.k8s.io/"

func matchingClaimNames(names []corev1.ResourceName) []corev1.ResourceName {
	var matching []corev1.ResourceName
	for _, name := range names {
		bounded := slices.ContainsFunc(claimNames, func(own corev1.ResourceName) bool {
			return name == own || strings.HasSuffix(string(name), ofClass+string(own))
		})
		if name == claimCount || bounded {
			matching = append(matching, name)
		}
	}
	return matching
}

func changesClaimUse(a admission.Attributes) bool {
	switch a.GetSubresource() {
	case "":
		return createOrUpdate(a)
	case "status":
		claim, ok := a.GetObject().(*corev1.PersistentVolumeClaim)
		old, wasClaim := a.GetOldObject().(*corev1.PersistentVolumeClaim)
		return ok && wasClaim && (!quota.Equals(old.Status.AllocatedResources, claim.Status.AllocatedResources) ||
			!slices.Equal(attributesClasses(old), attributesClasses(claim)))
	}
	return false
}

func claimUse(c *corev1.PersistentVolumeClaim) corev1.ResourceList {
	use := corev1.ResourceList{claimCount: one(), corev1.ResourcePersistentVolumeClaims: one()}
	if size, asked := storageOf(c); asked {
		use[corev1.ResourceRequestsStorage] = size
	}
	class := volumehelper.GetPersistentVolumeClaimClass(c)
	if class == "" {
		return use
	}
	for _, name := range claimNames {
		if amount, used := use[name]; used {
			use[corev1.ResourceName(class+ofClass)+name] = amount
		}
	}
	return use
}

// storageOf is the greater of what a claim asks for and what a growth has got for it, in whole bytes.
func storageOf(c *corev1.PersistentVolumeClaim) (resource.Quantity, bool) {
	size, asked := c.Spec.Resources.Requests[corev1.ResourceStorage]
	if allocated, ok := c.Status.AllocatedResources[corev1.ResourceStorage]; ok && asked && allocated.Cmp(size) > 0 {
		size = allocated
	}
	size = size.DeepCopy()
	size.RoundUp(0)
	return size, asked
}

func claimInScope(s corev1.ScopedResourceSelectorRequirement, obj runtime.Object) (bool, error) {
	claim, err := as[*corev1.PersistentVolumeClaim](obj)
	if err != nil || s.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass {
		return false, err
	}
	return selects(s, attributesClasses(claim)...)
}

// attributesClasses are those that a claim wants, has, and is about to have.
func attributesClasses(c *corev1.PersistentVolumeClaim) []string {
	names := []string{table.Value(c.Spec.VolumeAttributesClassName), table.Value(c.Status.CurrentVolumeAttributesClassName)}
	if m := c.Status.ModifyVolumeStatus; m != nil {
		names = append(names, m.TargetVolumeAttributesClassName)
	}
	return names
}
