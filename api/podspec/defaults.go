// Package podspec holds the rules of pods and of the pod templates of workloads: defaults, validation, warnings
// and the quality-of-service class. It knows neither storage nor any workload.
package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"dhow/api/check"
	"dhow/api/quantity"
	"dhow/api/volumespec"
)

// Default fills what the specification of a pod or of a template leaves open.
func Default(spec *corev1.PodSpec) {
	set(&spec.DNSPolicy, corev1.DNSClusterFirst)
	set(&spec.RestartPolicy, corev1.RestartPolicyAlways)
	set(&spec.SchedulerName, corev1.DefaultSchedulerName)
	fill(&spec.SecurityContext, corev1.PodSecurityContext{})
	fill(&spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	set(&spec.ServiceAccountName, spec.DeprecatedServiceAccount)
	spec.DeprecatedServiceAccount = spec.ServiceAccountName // two names of one field
	for i := range spec.Volumes {
		volumespec.Default(&spec.Volumes[i])
	}
	for c := range Containers(spec) {
		defaultContainer(c.Container)
	}
	quantity.Round(spec.Overhead)
	if spec.Resources != nil {
		quantity.Round(spec.Resources.Limits)
		quantity.Round(spec.Resources.Requests)
	}
}

// DefaultPod fills what a pod, unlike a template, also gets: requests from limits, host ports and links.
func DefaultPod(pod *corev1.Pod) {
	spec := &pod.Spec
	for i := range spec.Containers {
		requestLimits(&spec.Containers[i].Resources)
	}
	for i := range spec.InitContainers {
		requestLimits(&spec.InitContainers[i].Resources)
	}
	defaultPodResources(pod)
	fill(&spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	if spec.HostNetwork {
		defaultHostPorts(spec.Containers)
		defaultHostPorts(spec.InitContainers)
	}
	Default(spec)
	if grace := spec.TerminationGracePeriodSeconds; *grace < 0 {
		*grace = 1 // upstream, too, takes what cannot be for one second
	}
}

func requestLimits(r *corev1.ResourceRequirements) {
	if r.Limits == nil {
		return
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	for name, amount := range r.Limits {
		if _, asked := r.Requests[name]; !asked {
			r.Requests[name] = amount.DeepCopy()
		}
	}
}

// defaultPodResources completes resources of the whole pod that are given in part: limits of huge pages from
// the containers' limits, requests from the containers' requests and else from the pod's limits.
func defaultPodResources(pod *corev1.Pod) {
	r := pod.Spec.Resources
	if r == nil || len(r.Limits)+len(r.Requests) == 0 {
		return
	}
	options := resourcehelper.PodResourcesOptions{}
	for name, amount := range resourcehelper.AggregateContainerLimits(pod, options) {
		_, asked := r.Requests[name]
		if quantity.IsHugePages(name) && resourcehelper.IsSupportedPodLevelResource(name) && !asked {
			addMissing(&r.Limits, name, amount)
		}
	}
	if len(r.Limits) == 0 {
		return
	}
	for name, amount := range resourcehelper.AggregateContainerRequests(pod, options) {
		if resourcehelper.IsSupportedPodLevelResource(name) && quantity.MayOvercommit(name) {
			addMissing(&r.Requests, name, amount)
		}
	}
	for name, amount := range r.Limits {
		if resourcehelper.IsSupportedPodLevelResource(name) {
			addMissing(&r.Requests, name, amount)
		}
	}
}

func addMissing(list *corev1.ResourceList, name corev1.ResourceName, amount resource.Quantity) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	if _, there := (*list)[name]; !there {
		(*list)[name] = amount.DeepCopy()
	}
}

func defaultHostPorts(containers []corev1.Container) {
	for i := range containers {
		for j := range containers[i].Ports {
			set(&containers[i].Ports[j].HostPort, containers[i].Ports[j].ContainerPort)
		}
	}
}

func defaultContainer(c *corev1.Container) {
	set(&c.ImagePullPolicy, check.DefaultPullPolicy(c.Image))
	set(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	set(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		set(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil {
			volumespec.DefaultFieldRef(from.FieldRef)
			if from.FileKeyRef != nil {
				fill(&from.FileKeyRef.Optional, false)
			}
		}
	}
	quantity.Round(c.Resources.Limits)
	quantity.Round(c.Resources.Requests)
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		defaultProbe(p)
	}
	if c.Lifecycle != nil {
		defaultHook(c.Lifecycle.PostStart)
		defaultHook(c.Lifecycle.PreStop)
	}
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	set(&p.TimeoutSeconds, 1)
	set(&p.PeriodSeconds, 10)
	set(&p.SuccessThreshold, 1)
	set(&p.FailureThreshold, 3)
	defaultHTTP(p.HTTPGet)
	if p.GRPC != nil {
		fill(&p.GRPC.Service, "")
	}
}

func defaultHook(h *corev1.LifecycleHandler) {
	if h != nil {
		defaultHTTP(h.HTTPGet)
	}
}

func defaultHTTP(get *corev1.HTTPGetAction) {
	if get != nil {
		set(&get.Path, "/")
		set(&get.Scheme, corev1.URISchemeHTTP)
	}
}

// set gives *p a value when it has none.
func set[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}
